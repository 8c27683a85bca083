"""Intensity schemes."""

import numpy as np
import pytest

from segttt.config.plan import Normalisation
from segttt.errors import ImageError
from segttt.preprocessing import normalise as normalisation
from segttt.preprocessing.normalise import normalise

CHANNEL = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
ALL = np.ones(CHANNEL.shape, bool)


def apply(channel=CHANNEL, mask=ALL, **settings):
    before = channel.copy()
    result = normalise(channel, Normalisation(**settings), mask)
    np.testing.assert_array_equal(channel, before)
    assert result.dtype == np.float32
    assert result is not channel
    return result


def test_zscore():
    found = apply(scheme="zscore")
    np.testing.assert_allclose(found, (CHANNEL - CHANNEL.mean()) / CHANNEL.std(), rtol=1e-5)


def test_zscore_inside_a_mask_leaves_the_outside_alone():
    mask = CHANNEL >= 12
    inside = CHANNEL[mask]
    channel = np.where(mask, CHANNEL, 0)
    found = apply(channel, mask, scheme="zscore", masked=True)
    np.testing.assert_allclose(found[mask], (inside - inside.mean()) / inside.std(), rtol=1e-5)
    assert not found[~mask].any()


def test_zscore_of_large_intensities_keeps_its_digits():
    large = CHANNEL + np.float32(1.7e6)
    np.testing.assert_allclose(
        apply(large, scheme="zscore"), apply(scheme="zscore"), rtol=1e-4, atol=1e-4
    )


def test_ct_clips_then_scales():
    found = apply(scheme="ct", clip=(2.0, 20.0), mean=10.0, std=4.0)
    np.testing.assert_allclose(found, (CHANNEL.clip(2, 20) - 10) / 4, rtol=1e-6)


def test_rescale_and_none():
    found = apply(scheme="rescale_to_0_1")
    assert (found.min(), found.max()) == (0, 1)
    np.testing.assert_array_equal(apply(scheme="none"), CHANNEL)


def test_rgb_is_divided_by_255_and_refuses_anything_else():
    np.testing.assert_allclose(apply(scheme="rgb_to_0_1"), CHANNEL / 255, rtol=1e-6)
    with pytest.raises(ImageError, match="0 to 255"):
        apply(CHANNEL * 100, scheme="rgb_to_0_1")


@pytest.mark.parametrize("scheme", ["zscore", "rescale_to_0_1"])
def test_a_constant_becomes_zero(scheme):
    assert not apply(
        np.full((2, 2, 2), 7, np.float32), np.ones((2, 2, 2), bool), scheme=scheme
    ).any()


def test_an_empty_mask_changes_nothing():
    found = apply(mask=~ALL, scheme="zscore", masked=True)
    np.testing.assert_array_equal(found, CHANNEL)


@pytest.mark.parametrize(
    "settings",
    [
        {"scheme": "none"},
        {"scheme": "ct", "clip": (2.0, 20.0), "mean": 10.0, "std": 4.0},
        {"scheme": "zscore"},
        {"scheme": "zscore", "masked": True},
        {"scheme": "rescale_to_0_1"},
        {"scheme": "rgb_to_0_1"},
    ],
)
def test_in_place_of_the_channel_is_the_same(settings):
    mask = CHANNEL >= 12
    expected = apply(mask=mask, **settings)
    own = CHANNEL.copy()
    scheme = Normalisation(**settings)
    assert normalise(own, scheme, mask, overwrite=True) is own
    np.testing.assert_array_equal(own, expected)


@pytest.mark.parametrize("shape", [(3, 5, 7), (4, 64, 63), (11, 40, 41)])
def test_zscore_in_parts_equals_numpy_bit_by_bit(monkeypatch, shape):
    monkeypatch.setattr(normalisation, "SLAB_VOXELS", 999)
    channel = np.random.default_rng(0).normal(300, 80, shape).astype(np.float32)
    mean, std = channel.mean(dtype=np.float64), channel.std(dtype=np.float64)
    expected = (channel - np.float32(mean)) / np.float32(std)
    found = apply(channel, np.ones(shape, bool), scheme="zscore")
    np.testing.assert_array_equal(found, expected)
