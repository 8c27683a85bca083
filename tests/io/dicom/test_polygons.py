"""Outlines and their insides: a mask comes back voxel by voxel, shared edges belong to one side."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.draw import polygon2mask

from segttt.io.dicom.polygons import inside, outlines


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 14), st.integers(1, 14), st.sampled_from([0.1, 0.5, 0.9]), st.integers(0, 99))
def test_a_mask_comes_back(rows, columns, density, seed):
    mask = np.random.default_rng(seed).random((rows, columns)) < density
    np.testing.assert_array_equal(inside(outlines(mask), rows, columns), mask)


def test_a_square_has_eight_corners_half_a_pixel_outside():
    mask = np.zeros((9, 9), bool)
    mask[2:6, 3:7] = True
    (outline,) = outlines(mask)
    assert sorted(map(tuple, outline.tolist())) == [
        (1.5, 3), (1.5, 6), (2, 2.5), (2, 6.5), (5, 2.5), (5, 6.5), (5.5, 3), (5.5, 6),
    ]  # fmt: skip


def test_nothing_has_no_outline():
    assert outlines(np.zeros((4, 4), bool)) == []
    assert not inside([], 3, 5).any()


@pytest.mark.parametrize("seed", range(8))
def test_equals_skimage_where_no_centre_lies_on_an_edge(seed):
    polygon = np.random.default_rng(seed).random((7, 2)) * 40 - 5
    np.testing.assert_array_equal(inside([polygon], 30, 28), polygon2mask((30, 28), polygon))


def test_shared_edges_belong_to_one_region():
    left = np.array([[2, 2], [2, 6], [8, 6], [8, 2]], float)
    right = left + np.array([0, 4])
    a, b = (inside([one], 12, 12) for one in (left, right))
    assert not (a & b).any()
    assert a.sum() == b.sum() == 24
    assert (a | b).sum() == inside(
        [np.array([[2, 2], [2, 10], [8, 10], [8, 2]], float)], 12, 12
    ).sum()
    noise = np.random.default_rng(0).normal(0, 1e-9, left.shape)
    np.testing.assert_array_equal(inside([left + noise], 12, 12), a)


def test_a_hole_as_a_contour_and_as_a_keyhole():
    outer = np.array([[1, 1], [1, 11], [11, 11], [11, 1]], float) + 0.5
    hole = np.array([[4, 4], [8, 4], [8, 8], [4, 8]], float) + 0.5
    keyhole = np.concatenate([outer, outer[:1], hole, hole[:1]])
    ring = inside([outer, hole], 14, 14)
    assert ring.sum() == 100 - 16
    np.testing.assert_array_equal(inside([keyhole], 14, 14), ring)


def test_area_is_right_below_the_pixel():
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    circle = np.stack([np.sin(angle), np.cos(angle)], 1) * 40.3 + 50.17
    assert inside([circle], 100, 100).sum() == pytest.approx(np.pi * 40.3**2, rel=2e-3)


def test_what_leaves_the_plane_is_cut_off():
    big = np.array([[-5, -5], [-5, 50], [50, 50], [50, -5]], float)
    assert inside([big], 6, 7).all()
