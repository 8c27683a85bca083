"""Intensities of one channel on the scale that the network was trained on."""

import numpy as np
from jaxtyping import Bool, Float32

from segttt.config.plan import Normalisation
from segttt.errors import ImageError

SMALLEST = 1e-8  # divisor of a constant image


def normalise(
    channel: Float32[np.ndarray, "z y x"],
    scheme: Normalisation,
    mask: Bool[np.ndarray, "z y x"],
) -> Float32[np.ndarray, "z y x"]:
    """A normalised copy; `mask` is the non-zero region, used by masked z-scores only.

    Schemes are nnU-Net's (Nature Methods 18, 203). An `ImageError` tells of values that are no
    8-bit colours.
    """
    if scheme.scheme == "none":
        return channel.copy()
    if scheme.scheme == "ct":
        clipped = np.clip(channel, *scheme.clip) if scheme.clip else channel.copy()
        return _standardised(clipped, scheme.mean, scheme.std)
    if scheme.scheme == "zscore":
        return _zscore(channel, mask) if scheme.masked else _zscore(channel, None)
    low, high = channel.min(), channel.max()
    if scheme.scheme == "rescale_to_0_1":
        return (channel - low) / np.float32(max(float(high) - float(low), SMALLEST))
    if low < 0 or high > 255:
        raise ImageError(
            f"rgb_to_0_1 expects values from 0 to 255, found {low:g} to {high:g}. "
            "Choose rescale_to_0_1 or zscore for this channel."
        )
    return channel / np.float32(255)


def _zscore(channel: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    inside = channel if mask is None else channel[mask]
    if not inside.size:
        return channel.copy()
    mean, std = inside.mean(dtype=np.float64), inside.std(dtype=np.float64)
    scaled = _standardised(channel.copy(), float(mean), float(std))
    return scaled if mask is None else np.where(mask, scaled, channel)


def _standardised(own: np.ndarray, mean: float, std: float) -> np.ndarray:
    """In place: a CT takes 600 MB, and each copy as much again."""
    own -= np.float32(mean)
    own /= np.float32(max(std, SMALLEST))
    return own
