"""The augmentation of one sample: draw all parameters first, apply them second."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from segttt.config.recipe import Augmentation
from segttt.data.augment import intensity
from segttt.data.augment.interpolate import OUTSIDE
from segttt.data.augment.spatial import Turn, apply_turn, draw_turn, mirror

NONE = Augmentation(
    rotation=0, scaling=0, noise=0, blur=0, brightness=0, contrast=0,
    low_resolution=0, gamma_inverted=0, gamma=0, mirror=0,
)  # fmt: skip


@dataclass(frozen=True)
class Draw:
    """Everything random about the augmentation of one sample; None: the transform is not drawn."""

    turn: Turn | None
    noise: tuple[float, int] | None
    """Standard deviation and seed."""
    blur: tuple[tuple[float, ...], ...] | None
    brightness: tuple[float, ...] | None
    contrast: tuple[float, ...] | None
    low_resolution: tuple[float | None, ...] | None
    gamma_inverted: tuple[float, ...] | None
    gamma: tuple[float, ...] | None
    mirrored: tuple[int, ...]
    """Spatial axes to flip."""


def draw(
    random: np.random.Generator,
    recipe: Augmentation,
    *,
    rank: int,
    channels: int,
    mirror_axes: Sequence[int],
) -> Draw:
    """Draw the augmentation of one sample (probabilities and ranges: nnU-Net, 2.8.1)."""

    def chosen(probability: float) -> bool:
        return bool(random.random() < probability)

    def around_one(low: float, high: float) -> tuple[float, ...]:
        return tuple(_around_one(random, low, high) for _ in range(channels))

    def some_channels(values: np.ndarray) -> list[bool]:
        return (values < 0.5).tolist()

    turn = draw_turn(random, recipe, rank)
    noise = (float(random.uniform(0, 0.1)), int(random.integers(2**31)))
    sigmas = random.uniform(0.5, 1.0, (channels, rank)).tolist()
    blurred = some_channels(random.random(channels))
    scales = random.uniform(0.5, 1.0, channels).tolist()
    coarse = some_channels(random.random(channels))
    return Draw(
        turn=turn,
        noise=noise if chosen(recipe.noise) else None,
        blur=tuple(tuple(s) if on else () for s, on in zip(sigmas, blurred, strict=True))
        if chosen(recipe.blur)
        else None,
        brightness=around_one(0.75, 1.25) if chosen(recipe.brightness) else None,
        contrast=around_one(0.75, 1.25) if chosen(recipe.contrast) else None,
        low_resolution=tuple(s if on else None for s, on in zip(scales, coarse, strict=True))
        if chosen(recipe.low_resolution)
        else None,
        gamma_inverted=around_one(0.7, 1.5) if chosen(recipe.gamma_inverted) else None,
        gamma=around_one(0.7, 1.5) if chosen(recipe.gamma) else None,
        mirrored=tuple(axis for axis in mirror_axes if chosen(recipe.mirror)),
    )


def _around_one(random: np.random.Generator, low: float, high: float) -> float:
    """Half the time below one, half the time above."""
    return float(random.uniform(low, 1.0) if random.random() < 0.5 else random.uniform(1.0, high))


def apply(
    image: Float[Tensor, "c *grid"],
    labels: Int[Tensor, "*grid"],
    patch: Sequence[int],
    what: Draw,
    *,
    dummy_2d: bool = False,
) -> tuple[Float[Tensor, "c *patch"], Int[Tensor, "*patch"]]:
    """Turn a window into an augmented patch; voxels from outside stay marked -1 in the labels.

    The window has the size of the patch, or the larger reach where a rotation is drawn.
    """
    if what.turn:
        image, labels = apply_turn(image, labels, patch, what.turn)
    if what.noise:
        image = intensity.add_noise(image, *what.noise)
    if what.blur:
        image = intensity.blur(image, what.blur)
    if what.brightness:
        image = intensity.scale_brightness(image, what.brightness)
    if what.contrast:
        image = intensity.stretch_contrast(image, what.contrast)
    if what.low_resolution:
        image = intensity.lower_resolution(image, what.low_resolution, keep_first_axis=dummy_2d)
    if what.gamma_inverted:
        image = intensity.gamma(image, what.gamma_inverted, inverted=True)
    if what.gamma:
        image = intensity.gamma(image, what.gamma, inverted=False)
    return mirror(image, what.mirrored), mirror(labels[None], what.mirrored)[0]


def clear_outside(
    image: Float[Tensor, "c *patch"], labels: Int[Tensor, "*patch"], masked: Sequence[bool]
) -> tuple[Float[Tensor, "c *patch"], Int[Tensor, "*patch"]]:
    """Voxels marked -1 become background; channels normalised inside a mask become 0 there."""
    if any(masked):
        channels = intensity.per_channel([float(one) for one in masked], image).bool()
        image = image.masked_fill((labels == OUTSIDE)[None] & channels, 0.0)
    return image, labels.clamp_min(0)
