"""The grid of a plan: order of axes, target spacing and the size of the median case on it."""

from dataclasses import dataclass

import numpy as np

from segttt.config.fingerprint import Fingerprint
from segttt.config.preset import Preset
from segttt.errors import UsageError
from segttt.shapes import Triple

ANISOTROPY = 3.0
"""Spacing and shape must both differ by this factor for the coarsest axis to be refined."""


@dataclass(frozen=True)
class PlannedGrid:
    """Where training and prediction happen."""

    axes: tuple[int, int, int]
    """Canonical axes in the order of the plan, the coarsest first."""
    spacing_mm: Triple
    """In the order of `axes`."""
    median_shape: Triple
    """Of the cropped cases on this grid, in the order of `axes`."""
    rank: int
    """Spatial axes of the network."""


def plan_grid(
    fingerprint: Fingerprint, preset: Preset | None, dims: int | None = None
) -> PlannedGrid:
    """The grid that a preset fixes, else the median spacing of the data (nnU-Net).

    A preset's spacing is in canonical order (z, y, x) or (y, x), so axes stay. Cases that are all
    flat on one axis are pictures and planned in 2D. Slices keep the distance that they have.
    """
    spacings = np.array([case.spacing_mm for case in fingerprint.cases])
    shapes = np.array([case.shape for case in fingerprint.cases])
    flat = [
        axis for axis in range(3) if all(case.full_shape[axis] == 1 for case in fingerprint.cases)
    ]
    rank = _rank(bool(flat), preset, dims)
    target = _target(spacings, shapes)
    fixed = None if preset is None else preset.spacing_mm
    first = flat[0] if flat else int(np.argmax(target))
    if fixed is not None:
        target, first = np.array([*target[: 3 - len(fixed)], *fixed]), 0
    axes = (first, *(axis for axis in range(3) if axis != first))
    sizes = np.median(np.round(spacings / target * shapes), axis=0)
    return PlannedGrid(
        axes=(axes[0], axes[1], axes[2]),
        spacing_mm=_picked(target, axes),
        median_shape=_picked(np.maximum(sizes, 1), axes),
        rank=rank,
    )


def _rank(flat: bool, preset: Preset | None, dims: int | None) -> int:
    fixed = None if preset is None else preset.rank
    name = "" if preset is None else f" of preset '{preset.name}'"
    if fixed and dims and fixed != dims:
        raise UsageError(f"The patches{name} are {fixed}D, not {dims}D. Choose another preset.")
    wanted = dims or fixed
    if flat and wanted == 3:
        raise UsageError(
            f"A plan for volumes{name} was asked for, but every case is a single slice. "
            "Choose a preset and a network for pictures."
        )
    return wanted or (2 if flat else 3)


def _target(spacings: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    """Median spacing; a very coarse axis takes its 10th percentile, so fewer cases lose slices."""
    target = np.median(spacings, axis=0)
    coarsest = int(np.argmax(target))
    others = np.delete(target, coarsest)
    sizes = np.median(shapes, axis=0)
    few_slices = ANISOTROPY * sizes[coarsest] < np.delete(sizes, coarsest).min()
    if target[coarsest] > ANISOTROPY * others.max() and few_slices:
        refined = float(np.percentile(spacings[:, coarsest], 10))
        # Slightly above the others, so that this axis stays the coarsest.
        target[coarsest] = refined if refined >= others.max() else others.max() + 1e-5
    return target


def _picked(values: np.ndarray, axes: tuple[int, ...]) -> Triple:
    return float(values[axes[0]]), float(values[axes[1]]), float(values[axes[2]])
