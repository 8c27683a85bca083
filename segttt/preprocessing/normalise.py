"""Intensities of one channel on the scale that the network was trained on."""

import numpy as np
from jaxtyping import Bool, Float32

from segttt.config.plan import Normalisation
from segttt.errors import ImageError
from segttt.geometry.slabs import SLAB_VOXELS, slab_slices

SMALLEST = 1e-8  # divisor of a constant image


def normalise(
    channel: Float32[np.ndarray, "z y x"],
    scheme: Normalisation,
    mask: Bool[np.ndarray, "z y x"],
    *,
    overwrite: bool = False,
) -> Float32[np.ndarray, "z y x"]:
    """A normalised copy; `mask` is the non-zero region, used by masked z-scores only.

    Schemes are nnU-Net's (Nature Methods 18, 203). `overwrite` puts the result in the place of
    `channel`. An `ImageError` tells of values that are no 8-bit colours.
    """
    own = channel if overwrite else channel.copy()
    if scheme.scheme == "none":
        return own
    if scheme.scheme == "ct":
        if scheme.clip:
            np.clip(own, *scheme.clip, out=own)
        return _standardised(own, scheme.mean, scheme.std)
    if scheme.scheme == "zscore":
        return _zscore(own, mask if scheme.masked and not mask.all() else None)
    low, high = own.min(), own.max()
    if scheme.scheme == "rescale_to_0_1":
        return _standardised(own, float(low), float(high) - float(low))
    if low < 0 or high > 255:
        raise ImageError(
            f"rgb_to_0_1 expects values from 0 to 255, found {low:g} to {high:g}. "
            "Choose rescale_to_0_1 or zscore for this channel."
        )
    return _standardised(own, 0.0, 255.0)


def _zscore(own: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    inside = own if mask is None else own[mask]
    if inside.size:
        mean = float(inside.mean(dtype=np.float64))
        std = (_squares(inside.reshape(-1), mean) / inside.size) ** 0.5
        _standardised(own, mean, std, mask)
    return own


def _squares(values: np.ndarray, mean: float) -> float:
    """Sum of the squared deviations, in halves as NumPy's sums, without float64 for all at once."""
    if len(values) > SLAB_VOXELS:
        half = len(values) // 2
        half -= half % 8
        return _squares(values[:half], mean) + _squares(values[half:], mean)
    deviations = values - np.float64(mean)
    return float(np.square(deviations, out=deviations).sum())


def _standardised(
    own: np.ndarray, mean: float, std: float, mask: np.ndarray | None = None
) -> np.ndarray:
    """In place, inside the mask if there is one: a CT takes 600 MB, and each copy as much again."""
    subtracted, divisor = np.float32(mean), np.float32(max(std, SMALLEST))
    if mask is None:
        own -= subtracted
        own /= divisor
        return own
    for slab in slab_slices(own.shape):
        np.copyto(own[slab], (own[slab] - subtracted) / divisor, where=mask[slab])
    return own
