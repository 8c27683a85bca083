"""Resampling against scikit-image and SciPy, which nnU-Net calls."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.transform import resize

from segttt.geometry.operators import bands, multiply, operator
from segttt.geometry.resample import resample_image, resample_labels, separate_axis

SHAPES = [
    ((20, 31, 17), (35, 20, 17)),
    ((5, 7, 9), (11, 3, 20)),
    ((1, 40, 33), (1, 63, 20)),
    ((2, 3, 130), (3, 2, 201)),
    ((9, 8, 4), (1, 2, 16)),
]


def blobs(seed, shape, labels):
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.5)
    cuts = np.quantile(smooth, np.linspace(0, 1, labels + 1)[1:-1])
    return np.digitize(smooth, cuts).astype(np.int16)


def skimage_image(channel, shape):
    return resize(channel.astype(float), shape, order=3, mode="edge", anti_aliasing=False)


def skimage_labels(labels, shape):
    """The label of the largest share; where labels share the lead, the nearest voxel's."""
    values, ways = np.unique(labels), {"mode": "edge", "anti_aliasing": False}
    shares = [resize((labels == value).astype(float), shape, order=1, **ways) for value in values]
    nearest = resize(labels.astype(float), shape, order=0, **ways)
    leads = [s + 1e-9 * (nearest == value) for s, value in zip(shares, values, strict=True)]
    return values[np.argmax(leads, axis=0)]


def nearest_positions(old, new):
    return ndimage.map_coordinates(
        np.arange(old), [(np.arange(new) + 0.5) * old / new - 0.5], order=0, mode="nearest"
    )


@pytest.mark.parametrize(("old", "new"), [(1, 5), (2, 2), (7, 4), (50, 111), (97, 31), (4, 8)])
@pytest.mark.parametrize("order", [0, 1, 3])
def test_operator_equals_scipy(old, new, order):
    signal = np.random.default_rng(old * new).normal(size=old)
    position = (np.arange(new) + 0.5) * old / new - 0.5
    if order == 3:
        edged = np.pad(signal, 12, mode="edge")
        expected = ndimage.map_coordinates(edged, [position + 12], order=3, mode="mirror")
    else:
        expected = ndimage.map_coordinates(signal, [position], order=order, mode="nearest")
    found = operator(old, new, order).double().numpy() @ signal
    np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize(("old", "new"), [(63, 200), (1025, 300), (1, 63)])
def test_operator_keeps_constants(old, new, order):
    rows = operator(old, new, order).sum(dim=1)
    np.testing.assert_allclose(rows.numpy(), 1, atol=2e-6)


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_multiply_by_bands_equals_the_dense_product(axis):
    tensor = torch.randn(3, 70, 65, 80, generator=torch.Generator().manual_seed(0))
    matrix = operator(tensor.shape[axis], 200, 3)
    expected = torch.movedim(torch.tensordot(matrix, tensor, ([1], [axis])), 0, axis)
    torch.testing.assert_close(
        multiply(tensor, axis, bands(matrix)), expected, atol=2e-6, rtol=1e-5
    )


@pytest.mark.parametrize(("old", "new"), SHAPES)
def test_image_equals_scikit_image(old, new):
    image = np.random.default_rng(1).normal(size=(2, *old)).astype(np.float32)
    found = resample_image(torch.from_numpy(image), new).numpy()
    expected = np.stack([skimage_image(channel, new) for channel in image])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_image_is_clipped_to_the_range_of_each_channel():
    image = torch.zeros(2, 6, 6, 6)
    image[0, 3:] = 1.0
    image[1, :, 2:] = 500.0
    found = resample_image(image, (13, 13, 13))
    assert [float(found[0].min()), float(found[0].max())] == [0.0, 1.0]
    assert [float(found[1].min()), float(found[1].max())] == [0.0, 500.0]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_separate_axis_is_copied_and_the_plane_interpolated_slice_by_slice(axis):
    old, new = [11, 12, 13], [17, 9, 20]
    image = np.random.default_rng(2).normal(size=old).astype(np.float32)
    plane = tuple(np.delete(new, axis))
    slices = [skimage_image(one, plane) for one in np.moveaxis(image, axis, 0)]
    picked = [slices[i] for i in nearest_positions(old[axis], new[axis])]
    found = resample_image(torch.from_numpy(image)[None], tuple(new), axis)[0].numpy()
    np.testing.assert_allclose(found, np.stack(picked, axis), atol=1e-5)


def test_equal_shapes_return_the_same_tensor():
    image, labels = torch.randn(1, 3, 4, 5), torch.ones(3, 4, 5, dtype=torch.int16)
    assert resample_image(image, (3, 4, 5)) is image
    assert resample_labels(labels, (3, 4, 5)) is labels


@pytest.mark.parametrize(("old", "new"), [*SHAPES, ((12, 20, 16), (6, 10, 8))])
@pytest.mark.parametrize("lowest", [-1, 0])
def test_labels_equal_scikit_image(old, new, lowest):
    labels = blobs(3, old, 5) + np.int16(lowest)
    found = resample_labels(torch.from_numpy(labels), new).numpy()
    np.testing.assert_array_equal(found, skimage_labels(labels, new))


def test_labels_with_a_separate_axis():
    labels = blobs(4, (7, 30, 20), 4)
    plane = np.stack([skimage_labels(one, (21, 33)) for one in labels])
    found = resample_labels(torch.from_numpy(labels), (12, 21, 33), 0).numpy()
    np.testing.assert_array_equal(found, plane[nearest_positions(7, 12)])


@pytest.mark.parametrize("pair", [(1, 2), (2, 1), (0, 3), (3, 0), (-1, 0)])
def test_halfway_the_later_voxel_is_the_nearest(pair):
    labels = torch.tensor([[pair]], dtype=torch.int16)
    assert resample_labels(labels, (1, 1, 1)).item() == pair[1]


@pytest.mark.parametrize(
    ("eight", "expected"),
    [
        ((3, 1, 1, 1, 2, 2, 2, 3), 1),
        ((3, 0, 0, 0, 1, 1, 1, 3), 0),
        ((3, -1, -1, -1, 0, 0, 0, 3), -1),
    ],
)
def test_where_the_nearest_does_not_lead_the_smallest_wins(eight, expected):
    labels = torch.tensor(eight, dtype=torch.int16).view(2, 2, 2)
    assert resample_labels(labels, (1, 1, 1)).item() == expected


def test_where_three_labels_meet_no_hole_is_left():
    labels = torch.tensor([[[1, 1], [2, 3]]], dtype=torch.int16)
    found = resample_labels(labels, (1, 3, 3))  # the middle is half 1 and a quarter 2 and 3 each
    assert found.min() >= 1
    assert found[0, 1, 1] == 1


def test_labels_do_not_depend_on_the_slabs(monkeypatch):
    labels = torch.from_numpy(blobs(5, (14, 20, 18), 5)) - 1
    whole = resample_labels(labels, (23, 15, 27))
    monkeypatch.setattr("segttt.geometry.resample.SLAB_VOXELS", 1)
    assert torch.equal(resample_labels(labels, (23, 15, 27)), whole)


@pytest.mark.parametrize(
    ("spacing", "new_spacing", "expected"),
    [
        ((1, 1, 1), (1, 1, 1), None),
        ((5, 1, 1), (1, 1, 1), 0),
        ((3, 1, 1), (1, 1, 1), None),
        ((1, 1, 1), (1, 4, 1), 1),
        ((4, 4, 1), (5, 1, 1), None),
        ((1, 1, 6), (9, 1, 1), 2),
    ],
)
def test_separate_axis_rule(spacing, new_spacing, expected):
    as_float = [tuple(float(v) for v in one) for one in (spacing, new_spacing)]
    assert separate_axis(*as_float) == expected
