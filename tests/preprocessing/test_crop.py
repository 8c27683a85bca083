"""The non-zero region."""

import numpy as np
import pytest
from scipy import ndimage

from segttt.geometry import slabs
from segttt.preprocessing.crop import nonzero_box, nonzero_mask


def image_of(mask):
    return mask[None].astype(np.float32)


def test_union_over_channels_with_holes_filled():
    shell = np.zeros((7, 8, 9), bool)
    shell[1:6, 1:7, 1:8] = True
    shell[3, 3, 3] = False
    other = np.zeros_like(shell)
    other[0, 0, 0] = True
    expected = shell | other
    expected[3, 3, 3] = True
    mask = nonzero_mask(np.concatenate([image_of(shell), -image_of(other)]))
    np.testing.assert_array_equal(mask, expected)
    assert nonzero_box(mask) == ((0, 0, 0), (6, 7, 8))


@pytest.mark.parametrize("seed", range(5))
def test_equals_scipy(seed):
    mask = np.random.default_rng(seed).random((12, 13, 14)) < 0.72
    expected = ndimage.binary_fill_holes(mask)
    assert expected.sum() > mask.sum()
    np.testing.assert_array_equal(nonzero_mask(image_of(mask)), expected)


@pytest.mark.parametrize("slab_voxels", [1, 300, 10**6])
@pytest.mark.parametrize("seed", range(4))
def test_slabs_agree_on_what_is_outside(monkeypatch, seed, slab_voxels):
    """Paths of emptiness wind through the slices, up and down, before they reach the border."""
    monkeypatch.setattr(slabs, "SLAB_VOXELS", slab_voxels)
    mask = np.random.default_rng(seed).random((17, 12, 11)) < 0.6
    mask[:, 0], mask[:, -1], mask[:, :, 0], mask[:, :, -1] = True, True, True, True
    mask[0], mask[-1], mask[8, :7, 5] = True, True, False
    expected = ndimage.binary_fill_holes(mask)
    assert (~mask & ~expected).sum() > 300
    assert (expected & ~mask).any()
    np.testing.assert_array_equal(nonzero_mask(image_of(mask)), expected)
    turned = image_of(mask).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(nonzero_mask(turned), expected.transpose(2, 0, 1))


def test_a_picture_is_filled_in_its_plane():
    ring = np.zeros((1, 6, 6), bool)
    ring[0, 1:5, 1:5] = True
    ring[0, 2:4, 2:4] = False
    mask = nonzero_mask(image_of(ring))
    assert mask.sum() == 16
    assert nonzero_box(mask) == ((0, 1, 1), (1, 5, 5))


def test_an_empty_image_keeps_its_whole_box():
    mask = nonzero_mask(np.zeros((2, 3, 4, 5), np.float32))
    assert not mask.any()
    assert nonzero_box(mask) == ((0, 0, 0), (3, 4, 5))


def test_a_single_voxel():
    image = np.zeros((1, 1, 1, 5), np.float32)
    image[..., 2] = -4
    assert nonzero_box(nonzero_mask(image)) == ((0, 0, 2), (1, 1, 3))
