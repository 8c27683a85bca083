"""Whether nnU-Net would plan a low-resolution network beside the full-resolution one."""

from dataclasses import replace
from math import prod

from segttt.planning.patch import Limits, fit

COVERED_SHARE = 0.25
"""A window that sees less of the median case than this calls for a low-resolution plan."""
COARSER = 1.03
WORTHWHILE = 2.0
"""A low-resolution grid with less than this many times fewer voxels is dropped."""


def lowres_exists(
    spacing_mm: tuple[float, float, float],
    median_shape: tuple[float, float, float],
    patch: tuple[int, ...],
    classes: int,
    limits: Limits,
) -> bool:
    """Coarsen the grid until its window sees enough, and tell whether that was worth a plan.

    segttt trains no cascade; nnU-Net's choice of batch Dice depends on this. Source: nnU-Net v2.
    """
    # The batch has no say here; fixing it spares the search for one.
    limits = replace(limits, batch=limits.batch or limits.budget.batch(3))
    spacing, full = spacing_mm, prod(median_shape)
    voxels, seen = float(full), prod(patch)
    while seen / voxels < COVERED_SHARE:
        coarsest = max(spacing)
        fine = [coarsest / step > 2 for step in spacing]
        spacing = tuple(
            step * COARSER if chosen or not any(fine) else step
            for step, chosen in zip(spacing, fine, strict=True)
        )
        shape = tuple(
            edge * old / new
            for edge, old, new in zip(median_shape, spacing_mm, spacing, strict=True)
        )
        voxels = prod(shape)
        rounded = tuple(float(max(round(edge), 1)) for edge in shape)
        seen = prod(fit(spacing, rounded, classes, voxels, limits)[0].patch)
    return full / voxels >= WORTHWHILE and voxels < full
