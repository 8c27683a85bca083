"""Surface metrics against a dense loop over corners, by hand, and under symmetries."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from monai.metrics.surface_dice import compute_surface_dice

from segttt.errors import GeometryError
from segttt.metrics import surface_lattice
from segttt.metrics.surface import (
    Surface,
    Surfaces,
    SurfaceScore,
    assd,
    hd95,
    nsd,
    surface_scores,
    surfaces,
)
from tests.metrics.test_surface_elements import code_of, textbook_areas

ISOTROPIC = (1.0, 1.0, 1.0)
SPACINGS = [ISOTROPIC, (5.0, 0.7, 0.7), (2.5, 0.78125, 0.78125), (0.4, 3.0, 1.1)]


def scores(truth, prediction, spacing=ISOTROPIC, tolerance=1.0):
    both = surfaces(truth, prediction, spacing)
    return nsd(both, tolerance), hd95(both), assd(both)


def dense_surface(mask, spacing):
    """Corners of the surface and their areas, one corner after the other."""
    padded, sizes = np.pad(mask, 1), textbook_areas(spacing)
    corners = list(product(*(range(n + 1) for n in mask.shape)))
    codes = [code_of(padded[tuple(slice(i, i + 2) for i in corner)]) for corner in corners]
    found = [
        (corner, sizes[code]) for corner, code in zip(corners, codes, strict=True) if sizes[code]
    ]
    return np.array([corner for corner, _ in found]), np.array([size for _, size in found])


def dense_scores(truth, prediction, spacing, tolerance):
    """The definitions, from all pairs of corners."""
    (a, sizes_a), (b, sizes_b) = dense_surface(truth, spacing), dense_surface(prediction, spacing)
    pairs = np.sqrt((((a[:, None] - b[None]) * np.array(spacing)) ** 2).sum(-1))
    sides = [(pairs.min(1), sizes_a), (pairs.min(0), sizes_b)]
    near = sum(sizes[distances <= tolerance].sum() for distances, sizes in sides)
    within = [
        min(d for d in distances if sizes[distances <= d].sum() >= sizes.sum() * (0.95 - 1e-12))
        for distances, sizes in sides
    ]
    means = [(distances * sizes).sum() / sizes.sum() for distances, sizes in sides]
    return near / (sizes_a.sum() + sizes_b.sum()), max(within), sum(means) / 2


def ellipsoids(shape, seed):
    """A few overlapping ellipsoids, some cut by the border, and some stray voxels."""
    random = np.random.default_rng(seed)
    mask = random.random(shape) < 0.01
    for _ in range(3):
        centre, radius = random.uniform(0, shape), random.uniform(1, 5, len(shape))
        mask |= (((np.indices(shape).T - centre) / radius) ** 2).sum(-1).T <= 1
    return mask


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("shape", [(7, 9, 11), (1, 21, 17), (5, 1, 9)])
def test_equals_the_definition(shape, spacing):
    truth, prediction = ellipsoids(shape, 1), ellipsoids(shape, 2)
    flat = slice(1, None) if shape[0] == 1 else slice(None)
    for tolerance in (0.0, 0.7, 2.5):
        expected = dense_scores(
            truth.reshape(shape[flat]), prediction.reshape(shape[flat]), spacing[flat], tolerance
        )
        assert scores(truth, prediction, spacing, tolerance) == pytest.approx(expected, abs=1e-12)


few = arrays(bool, (3, 4, 9), elements=st.sampled_from([False] * 30 + [True]), fill=st.just(False))


@given(truth=few, prediction=few, spacing=st.sampled_from(SPACINGS))
@settings(max_examples=60, deadline=None)
def test_a_few_voxels_anywhere_equal_the_definition(truth, prediction, spacing):
    if truth.any() and prediction.any():
        expected = dense_scores(truth, prediction, spacing, 2.0)
        assert scores(truth, prediction, spacing, 2.0) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("window", "block"), [(1, 1), (40, 200), (5000, 1 << 20)])
def test_does_not_depend_on_window_and_blocks(monkeypatch, window, block):
    truth, prediction = ellipsoids((9, 10, 30), 3), np.roll(ellipsoids((9, 10, 30), 4), 9, axis=2)
    expected = scores(truth, prediction, (2.0, 0.7, 0.7))
    monkeypatch.setattr(surface_lattice, "WINDOW", window)
    monkeypatch.setattr(surface_lattice, "BLOCK", block)
    assert scores(truth, prediction, (2.0, 0.7, 0.7)) == pytest.approx(expected, abs=1e-12)


def test_the_window_is_limited_where_voxels_are_needles():
    lattice = surface_lattice.Lattice((4, 4, 4), (90.0, 0.1, 0.1))
    assert sum(len(steps) for _, steps in lattice.shells) == surface_lattice.WINDOW
    random = np.random.default_rng(11)
    truth, prediction = random.random((2, 3, 40, 40)) < 0.002
    expected = dense_scores(truth, prediction, lattice.spacing_mm, 1.0)
    assert scores(truth, prediction, lattice.spacing_mm) == pytest.approx(expected, abs=1e-12)


def voxel(*at, shape=(4, 5, 30)):
    mask = np.zeros(shape, bool)
    mask[at] = True
    return mask


@pytest.mark.parametrize("steps", [2, 3, 27])
def test_two_voxels_by_hand(steps):
    """Half of the corners are steps - 1 voxels apart, the other half steps voxels."""
    truth, prediction = voxel(0, 0, 0), voxel(0, 0, steps)
    spacing, reach = (3.0, 2.0, 0.5), (steps - 1) * 0.5
    assert scores(truth, prediction, spacing, reach) == (0.5, reach + 0.5, reach + 0.25)
    assert scores(truth, prediction, spacing, reach + 0.5)[0] == 1
    assert scores(truth, prediction, spacing, reach - 1e-9)[0] == 0


@pytest.mark.parametrize(
    ("there", "here", "nearest"), [((0, 0, 29), (0, 1, 0), 28), ((0, 4, 0), (1, 0, 0), 3)]
)
def test_the_end_of_a_row_is_far_from_the_start_of_the_next(there, here, nearest):
    both = surfaces(voxel(*there), voxel(*here), ISOTROPIC)
    assert both.truth.distances_mm.min() == both.prediction.distances_mm.min() == nearest


def test_the_tolerance_is_inclusive_wherever_the_step_begins():
    """7 * 0.7 and 10 * 0.7 are not 2.1 apart in floating point, but 3 * 0.7 is within 2.1."""
    spacing = (0.7, 0.7, 0.7)
    assert [
        scores(voxel(0, 0, first), voxel(0, 0, first + 4), spacing, 2.1)[0] for first in range(26)
    ] == pytest.approx([0.5] * 26)


def test_pictures_by_hand():
    """A square of 3 x 3 pixels, shifted by one: corners cut, sides one pixel long."""
    truth = np.zeros((1, 8, 8), bool)
    truth[0, 2:5, 2:5] = True
    both = surfaces(truth, np.roll(truth, 3, axis=2), (9.0, 2.0, 1.0))
    assert both.truth.areas.sum() == pytest.approx(4 + 8 + 4 * np.hypot(1, 0.5))
    assert both.truth.distances_mm.tolist() == [0, 1, 2, 3]
    side = 4 + 2 * np.hypot(1, 0.5)
    assert both.truth.areas.tolist() == pytest.approx([side, 2, 2, side])
    assert hd95(both) == 3


def test_one_slice_of_a_volume_is_no_picture():
    flat = np.zeros((1, 6, 6), bool)
    flat[0, 2:4, 2:4] = True
    thick = np.concatenate([flat, np.zeros_like(flat)])
    contour, plate = surfaces(flat, flat, ISOTROPIC), surfaces(thick, thick, ISOTROPIC)
    assert contour.truth.areas.sum() == pytest.approx(4 + 2 * np.sqrt(2))
    assert plate.truth.areas.sum() == pytest.approx(2 + 4 * np.sqrt(2) + np.sqrt(3))


def test_nothing_and_something():
    nothing, something = voxel(shape=(4, 5, 30)) & False, voxel(1, 1, 1)
    assert scores(nothing, nothing) == (None, None, None)
    assert scores(something, nothing) == (0.0, None, None)
    assert scores(nothing, something, tolerance=1e9) == (0.0, None, None)
    both = surfaces(something, nothing, ISOTROPIC)
    assert np.isinf(both.truth.distances_mm).all()
    assert both.truth.areas.sum() == pytest.approx(np.sqrt(3))
    assert both.prediction.areas.size == both.prediction.distances_mm.size == 0


@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 4, 5)])
def test_a_full_volume_has_a_surface_at_its_border(shape):
    full = np.ones(shape, bool)
    assert scores(full, full, SPACINGS[1], 0.0) == (1.0, 0.0, 0.0)
    wider = [(1, 1) if n > 1 else (0, 0) for n in shape]
    there, here = (
        surfaces(np.pad(full, wider), np.pad(full, wider), SPACINGS[1]),
        surfaces(full, full, SPACINGS[1]),
    )
    assert here.truth.areas.sum() == there.truth.areas.sum() > 0


def test_symmetries():
    truth, prediction, spacing = ellipsoids((6, 8, 10), 5), ellipsoids((6, 8, 10), 6), SPACINGS[3]
    expected = scores(truth, prediction, spacing, 1.5)
    assert scores(prediction, truth, spacing, 1.5) == pytest.approx(expected, abs=1e-12)
    turned = [mask.transpose(2, 0, 1)[:, ::-1] for mask in (truth, prediction)]
    axes = (spacing[2], spacing[0], spacing[1])
    assert scores(*turned, axes, 1.5) == pytest.approx(expected, abs=1e-12)
    twice = scores(truth, prediction, tuple(2 * s for s in spacing), 3.0)
    doubled = (expected[0], 2 * expected[1], 2 * expected[2])
    assert twice == pytest.approx(doubled, abs=1e-12)


def test_exactly_95_percent_is_enough_whatever_the_rounding():
    for seed in range(40):
        near = np.random.default_rng(seed).random(500)
        side = Surface(np.arange(501.0), np.append(near, near.sum() * 5 / 95))
        assert hd95(Surfaces(side, side)) == 499


def test_hd95_is_the_larger_of_the_two_and_weighted_by_area():
    near = Surface(np.array([0.0, 1.0]), np.array([95.0, 5.0]))
    far = Surface(np.array([0.0, 7.0]), np.array([94.0, 6.0]))
    both = Surfaces(near, far)
    assert (hd95(both), hd95(Surfaces(far, near)), hd95(Surfaces(near, near))) == (7, 7, 0)
    assert assd(both) == pytest.approx((0.05 + 0.42) / 2)
    assert nsd(both, 1.0) == pytest.approx(194 / 200)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64])
def test_labels_that_touch_are_scored_one_by_one(dtype):
    random = np.random.default_rng(7)
    truth, prediction = (random.integers(0, 5, (5, 8, 9)).astype(dtype) for _ in range(2))
    truth[0, 0] = 9
    before = truth.copy(), prediction.copy()
    tolerances = {4: 0.5, 2: 1.0, 1: 0.0, 7: 1.0}
    found = surface_scores(truth, prediction, [4, 2, 1, 7], SPACINGS[1], tolerances)
    assert [score.label for score in found] == [4, 2, 1, 7]
    for score in found[:3]:
        alone = scores(
            truth == score.label, prediction == score.label, SPACINGS[1], tolerances[score.label]
        )
        assert (score.nsd, score.hd95_mm, score.assd_mm) == pytest.approx(alone, abs=1e-12)
    assert found[3] == SurfaceScore(7, None, None, None)
    assert all(type(value) is float for value in (found[0].nsd, found[0].hd95_mm, found[0].assd_mm))
    assert np.array_equal(before[0], truth)
    assert np.array_equal(before[1], prediction)


def test_values_below_zero_are_background():
    truth = np.array([[[0, -1, 1, -1, 300, 0]], [[-1, -1, -1, -1, 0, 0]]], np.int32)
    found = surface_scores(truth, np.maximum(truth, 0), [1, 300], ISOTROPIC, {1: 0.0, 300: 0.0})
    assert [(score.nsd, score.hd95_mm) for score in found] == [(1.0, 0.0), (1.0, 0.0)]


def test_no_labels_no_scores():
    assert surface_scores(np.ones((1, 1, 1), int), np.ones((1, 1, 1), int), [], ISOTROPIC, {}) == []


def test_different_shapes_are_refused():
    with pytest.raises(GeometryError, match=r"\(1, 2, 3\).*\(1, 3, 2\)"):
        surfaces(np.zeros((1, 2, 3), bool), np.zeros((1, 3, 2), bool), ISOTROPIC)


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("shape", [(8, 12, 14), (1, 20, 24)])
def test_nsd_equals_monai(shape, spacing):
    truth, prediction = ellipsoids(shape, 8), ellipsoids(shape, 9)
    picture = shape[0] == 1
    masks = [mask[0] if picture else mask for mask in (prediction, truth)]
    expected = compute_surface_dice(
        *(torch.from_numpy(mask)[None, None] for mask in masks),
        class_thresholds=[1.6],
        include_background=True,
        spacing=spacing[1:] if picture else spacing,
        use_subvoxels=True,
    )
    assert scores(truth, prediction, spacing, 1.6)[0] == pytest.approx(expected.item(), abs=1e-6)
