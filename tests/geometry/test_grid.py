"""Grids in the patient system."""

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest

from segttt.geometry.grid import Grid

STRAIGHT = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
GRID = Grid((4, 5, 6), (3.0, 2.0, 0.5), (10.0, 20.0, 30.0), STRAIGHT)


def test_points_and_volume():
    assert GRID.point_mm((0, 0, 0)) == (10, 20, 30)
    assert GRID.point_mm((1, 2, 4)) == (12, 24, 33)
    assert GRID.voxel_mm3 == 3


def test_cropped_keeps_every_voxel_in_place():
    crop = GRID.cropped((1, 0, 2), (3, 5, 6))
    assert crop.shape == (2, 5, 4)
    assert crop.point_mm((1, 4, 3)) == GRID.point_mm((2, 4, 5))


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("flipped", list(product((False, True), repeat=3)))
def test_turned_keeps_every_voxel_in_place(order, flipped):
    turned = GRID.turned(order, flipped)
    index = np.arange(120).reshape(GRID.shape)
    moved = np.flip(index.transpose(order), [axis for axis in range(3) if flipped[axis]])
    assert turned.shape == moved.shape
    for voxel in [(0, 0, 0), (1, 3, 2), (3, 4, 5)]:
        there = tuple(np.argwhere(moved == index[voxel])[0].tolist())
        np.testing.assert_allclose(turned.point_mm(there), GRID.point_mm(voxel))


def test_difference():
    assert GRID.difference(GRID) is None
    assert "shape" in GRID.difference(replace(GRID, shape=(4, 5, 7)))
    moved = replace(GRID, origin_mm=(10.0, 20.0, 30.5))
    assert GRID.difference(moved) == "voxels up to 0.50 mm apart"
    assert GRID.difference(replace(GRID, origin_mm=(10.0, 20.0, 30.001))) is None
    assert GRID.difference(replace(GRID, spacing_mm=(3.1, 2.0, 0.5))) is not None
    assert GRID.difference(replace(GRID, direction=(STRAIGHT[0], STRAIGHT[2], STRAIGHT[1])))
