"""prepare and restore."""

from itertools import permutations

import numpy as np
import pytest
import torch

from segttt.cases import Case, Orientation, SoftMaps, Volume
from segttt.config.network import Topology
from segttt.config.plan import Normalisation, Plan
from segttt.errors import ImageError, LabelError
from segttt.geometry import slabs
from segttt.geometry.grid import Grid
from segttt.geometry.resample import axis_orders, resample, separate_axis
from segttt.preprocessing.pipeline import prepare, preparing_bytes, restore, to_classes

STRAIGHT = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))


def plan_of(**changes):
    settings = {
        "name": "test",
        "channels": ("CT",),
        "labels": {1: "one", 2: "two", 3: "three"},
        "spacing_mm": (1.0, 1.0, 1.0),
        "normalisation": (Normalisation(scheme="none"),),
        "topology": Topology(
            patch=(8, 8, 8),
            strides=((1, 1, 1), (2, 2, 2)),
            kernels=((3, 3, 3), (3, 3, 3)),
            features=(4, 8),
        ),
        "batch": 2,
        "batch_dice": False,
    }
    return Plan(**(settings | changes))


def volume_of(image, label=None, spacing=(1.0, 1.0, 1.0)):
    grid = Grid(image.shape[1:], spacing, (0.0, 0.0, 0.0), STRAIGHT)
    upright = Orientation((0, 1, 2), (False, False, False))
    return Volume(Case("case", ()), image, label, grid, upright, grid)


@pytest.fixture
def scan():
    random = np.random.default_rng(0)
    image = np.zeros((1, 14, 16, 18), np.float32)
    image[0, 2:12, 1:15, 3:18] = 1 + random.random((10, 14, 15))
    label = np.zeros((14, 16, 18), np.int16)
    label[4:9, 3:8, 5:11] = 1
    label[6:11, 9:13, 7:15] = 3
    return image, label


def one_hot(label, classes):
    return torch.nn.functional.one_hot(
        torch.from_numpy(label).clamp(min=0).long(), classes
    ).movedim(-1, 0)


@pytest.mark.parametrize("axes", list(permutations(range(3))))
def test_label_returns_exactly_without_resampling(scan, axes):
    image, label = scan
    prepared = prepare(volume_of(image, label), plan_of(axes=axes))
    slabs = one_hot(prepared.label, 4).float().split(3, dim=1)
    np.testing.assert_array_equal(restore(slabs, prepared.preparation), label)


def test_crop_marks_the_outside(scan):
    image, label = scan
    image[0, 2, 1:4, 3:6] = 0  # a corner of the box that stays outside the region
    label[2, 1, 3] = 2  # foreground is kept, wherever it is
    prepared = prepare(volume_of(image, label), plan_of())
    assert prepared.preparation.start == (2, 1, 3)
    assert prepared.preparation.stop == (12, 15, 18)
    assert prepared.label.dtype == np.int16
    assert prepared.label[0, 0, 0] == 2
    assert (prepared.label == -1).sum() == 8
    np.testing.assert_array_equal(prepared.image[0], image[0, 2:12, 1:15, 3:18])


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("target", [(1.0, 1.0, 1.0), (1.4, 1.1, 1.2)])
def test_in_place_of_the_volume_is_the_same(scan, monkeypatch, axes, target):
    monkeypatch.setattr(slabs, "SLAB_VOXELS", 700)
    image, label = scan
    image = np.concatenate([image, 3 - image])
    image[:, 5, 5:8, 5] = 0  # a hole
    schemes = (Normalisation(scheme="zscore", masked=True), Normalisation(scheme="zscore"))
    plan = plan_of(axes=axes, spacing_mm=target, channels=("T1", "T2"), normalisation=schemes)
    before, values = image.copy(), label.copy()
    kept = prepare(volume_of(image, label), plan)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(label, values)
    lost = prepare(volume_of(image, label), plan, overwrite=True)
    np.testing.assert_array_equal(lost.image, kept.image)
    np.testing.assert_array_equal(lost.label, kept.label)
    assert (image != before).any()
    if target == (1.0, 1.0, 1.0):
        assert np.shares_memory(lost.image, image)
        assert np.shares_memory(lost.label, label)


def test_values_become_classes_in_the_order_of_the_plan():
    label = np.array([[[0, 10, 4, 10]]], np.int32)
    plan = plan_of(labels={10: "ten", 4: "four"})
    np.testing.assert_array_equal(to_classes(label, plan, "case"), [[[0, 1, 2, 1]]])


@pytest.mark.parametrize("value", [2, 99, -3])
def test_unknown_values_are_named_with_their_count(value):
    label = np.array([[[0, value, value, 1]]], np.int32)
    with pytest.raises(LabelError, match=rf"case: .*{value} \(2 voxels\)"):
        to_classes(label, plan_of(labels={1: "one", 5: "five"}), "case")


def test_instances_become_interior_and_boundary():
    label = np.zeros((1, 20, 20), np.int32)
    label[0, 3:17, 3:17] = 77
    plan = plan_of(labels={1: "interior", 2: "boundary"}, instances=True)
    image = np.ones((1, 1, 20, 20), np.float32)
    prepared = prepare(volume_of(image, label), plan)
    assert np.unique(prepared.label).tolist() == [0, 1, 2]
    assert prepared.label[0, 10, 10] == 1


@pytest.mark.parametrize(
    ("spacing", "target", "axes"),
    [
        ((1.0, 1.0, 1.0), (1.6, 0.7, 1.0), (0, 1, 2)),
        ((4.0, 0.8, 0.8), (2.5, 1.1, 1.1), (0, 1, 2)),
        ((0.9, 0.9, 5.0), (4.0, 1.3, 0.7), (2, 0, 1)),
        ((1.0, 5.0, 1.0), (1.5, 4.0, 1.2), (0, 1, 2)),
    ],
)
def test_restore_equals_the_naive_computation(scan, spacing, target, axes):
    image, label = scan
    prepared = prepare(volume_of(image, label, spacing), plan_of(spacing_mm=target, axes=axes))
    did = prepared.preparation
    logits = torch.randn(4, *did.new_shape, generator=torch.Generator().manual_seed(1))
    size = tuple(b - a for a, b in zip(did.start, did.stop, strict=True))
    orders = axis_orders(1, separate_axis(did.new_spacing_mm, did.spacing_mm))
    whole = np.zeros(did.shape, np.uint8)
    box = tuple(slice(a, b) for a, b in zip(did.start, did.stop, strict=True))
    whole[box] = resample(logits, size, orders).argmax(0).numpy()
    expected = whole.transpose(np.argsort(axes))
    found = restore(logits.split(2, dim=1), did, max_bytes=4096)
    assert found.shape == label.shape
    assert (found == expected).mean() > 0.999


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1)])
def test_restore_fills_the_maps(scan, axes):
    image, label = scan
    prepared = prepare(volume_of(image, label), plan_of(axes=axes, spacing_mm=(0.5, 0.5, 0.5)))
    did = prepared.preparation
    logits = torch.randn(4, *did.new_shape, generator=torch.Generator().manual_seed(1))
    fresh = np.full((4, *label.shape), np.nan, np.float32)
    maps = SoftMaps(fresh[0].copy(), fresh)
    classes = restore(logits.split(3, dim=1), did, maps=maps)
    np.testing.assert_array_equal(classes, restore(logits.split(3, dim=1), did))
    np.testing.assert_array_equal(maps.probabilities.argmax(0), classes)
    np.testing.assert_allclose(maps.probabilities.sum(0), 1, atol=1e-5)
    inside = image[0] > 0
    assert (maps.entropy[inside] > 0).all()
    outside = np.ones(label.shape, bool)
    outside[2:12, 1:15, 3:18] = False
    assert (maps.entropy[outside] == 0).all()
    assert (maps.probabilities[0][outside] == 1).all()


@pytest.mark.parametrize(
    ("target", "dice"),
    # Doubling is undone exactly; at 1.3 mm an object of five slices loses one of them.
    [((0.5, 0.5, 0.5), 1.0), ((1.3, 0.9, 1.0), 0.85)],
)
def test_labels_survive_resampling_and_back(scan, target, dice):
    image, label = scan
    prepared = prepare(volume_of(image, label), plan_of(spacing_mm=target))
    assert prepared.label.shape == prepared.image.shape[1:] == prepared.preparation.new_shape
    back = restore([one_hot(prepared.label, 4).float()], prepared.preparation)
    for value in (1, 3):
        overlap = ((back == value) & (label == value)).sum()
        assert 2 * overlap / ((back == value).sum() + (label == value).sum()) >= dice


def test_slice_wise_plans_keep_the_first_axis(scan):
    image, _ = scan
    plan = plan_of(spacing_mm=(9.0, 2.0, 2.0), resample_z=False)
    did = prepare(volume_of(image, spacing=(3.0, 1.0, 1.0)), plan).preparation
    assert did.new_shape == (10, 7, 8)
    assert did.new_spacing_mm == (3.0, 2.0, 2.0)


def test_an_axis_never_vanishes(scan):
    image, _ = scan
    did = prepare(volume_of(image), plan_of(spacing_mm=(90.0, 1.0, 1.0))).preparation
    assert did.new_shape == (1, 14, 15)


def test_halves_of_a_voxel_are_rounded_as_in_nnunet():
    # 33 slices of 3 mm are 27.5 of 3.6 mm; nnU-Net 2.8.1 divides first and gets 27.
    image = np.ones((1, 33, 8, 8), np.float32)
    did = prepare(volume_of(image, spacing=(3.0, 1.0, 1.0)), plan_of(spacing_mm=(3.6, 1.0, 1.0)))
    assert did.preparation.new_shape == (27, 8, 8)


def test_normalisation_comes_before_resampling_and_names_the_case(scan):
    image, _ = scan
    zscore = prepare(
        volume_of(image), plan_of(normalisation=(Normalisation(scheme="zscore"),))
    ).image
    assert abs(zscore.mean()) < 1e-5
    assert zscore.std() == pytest.approx(1, abs=1e-5)
    with pytest.raises(ImageError, match="case, channel CT"):
        prepare(
            volume_of(image * 300), plan_of(normalisation=(Normalisation(scheme="rgb_to_0_1"),))
        )


def test_an_empty_image_passes():
    image = np.zeros((1, 3, 4, 5), np.float32)
    prepared = prepare(volume_of(image, np.zeros((3, 4, 5), np.int16)), plan_of())
    assert prepared.image.shape == (1, 3, 4, 5)
    assert (prepared.label == -1).all()


def test_restore_without_slabs_is_an_error(scan):
    did = prepare(volume_of(scan[0]), plan_of()).preparation
    with pytest.raises(ValueError, match="slabs"):
        restore([], did)


@pytest.mark.parametrize(
    ("channels", "spacing", "axes", "wanted"),
    [
        (1, (1.0, 1.0, 1.0), (0, 1, 2), 6000),  # the mask
        (1, (0.5, 1.0, 1.0), (0, 1, 2), 4 * (3000 + 3000)),  # half as many slices, two steps
        (1, (2.0, 2.0, 1.0), (0, 1, 2), 4 * (12000 + 24000)),
        (1, (0.5, 1.0, 1.0), (1, 0, 2), 4 * (6000 + 3000)),  # turned, then resampled
        (2, (2.0, 2.0, 1.0), (0, 1, 2), 4 * (2 * 24000 + 12000 + 24000)),
    ],
)
def test_what_preparing_takes(channels, spacing, axes, wanted):
    volume = volume_of(np.ones((channels, 10, 20, 30), np.float32), spacing=spacing)
    assert preparing_bytes(volume, plan_of(axes=axes)) == wanted
