"""Orientation of axes, and grids that no scanner produces."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segttt.cases import Orientation
from segttt.errors import GeometryError
from segttt.geometry.grid import Grid
from segttt.io.orient import check_grid, orientation_of, turn, turn_back

STRAIGHT = Grid(
    (4, 5, 6), (3.0, 2.0, 1.0), (0.0, 0.0, 0.0), ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
)
PATH = Path("scan.nii.gz")


def test_canonical_axes_stay():
    assert orientation_of(STRAIGHT) == Orientation((0, 1, 2), (False, False, False))


def test_every_orientation_turns_to_the_canonical_one_and_back(any_direction):
    grid = replace(STRAIGHT, direction=tuple(map(tuple, any_direction.tolist())))
    orientation = orientation_of(grid)
    turned = grid.turned(orientation.order, orientation.flipped)
    np.testing.assert_array_equal(turned.direction, STRAIGHT.direction)
    array = np.arange(240).reshape(2, 4, 5, 6)
    canonical = turn(array, orientation)
    assert canonical.shape[1:] == turned.shape
    np.testing.assert_array_equal(turn_back(canonical, orientation), array)
    for index in [(0, 0, 0), (1, 2, 3), (3, 4, 5)]:  # the same voxel at the same place
        place = np.argwhere(canonical[0] == array[0][index])[0]
        np.testing.assert_allclose(grid.point_mm(index), turned.point_mm(tuple(place.tolist())))


@pytest.mark.parametrize("spacing", [(0.0, 1.0, 1.0), (1.0, float("nan"), 1.0), (1.0, 1.0, 1e9)])
def test_bad_spacing(spacing):
    with pytest.raises(GeometryError, match=r"scan.nii.gz: has spacing"):
        check_grid(replace(STRAIGHT, spacing_mm=spacing), PATH)


@pytest.mark.parametrize("origin", [(float("nan"), 0.0, 0.0), (0.0, 1e30, 0.0)])
def test_bad_origin(origin):
    with pytest.raises(GeometryError, match="origin"):
        check_grid(replace(STRAIGHT, origin_mm=origin), PATH)


def test_skewed_axes():
    skewed = ((0.0, 0.05, 0.99875), *STRAIGHT.direction[1:])
    with pytest.raises(GeometryError, match="right angles"):
        check_grid(replace(STRAIGHT, direction=skewed), PATH)
    nan = ((float("nan"), 0.0, 1.0), *STRAIGHT.direction[1:])
    with pytest.raises(GeometryError, match="right angles"):
        check_grid(replace(STRAIGHT, direction=nan), PATH)


def test_round_off_is_no_skew():
    nearly = ((0.0, 3e-4, 1.0), *STRAIGHT.direction[1:])
    assert check_grid(replace(STRAIGHT, direction=nearly), PATH)
