"""From the planes of a series to one grid; whatever is not one regular stack is refused.

Distances come from the positions projected on the normal, never from SliceThickness or
SpacingBetweenSlices, which describe the acquisition and are often wrong for the stack. Irregular
distances and a tilt are mended where the user allows it.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segttt.cases import Remedies
from segttt.errors import GeometryError
from segttt.io.dicom.header import Frame
from segttt.io.dicom.regular import Stack, regular_grid
from segttt.io.dicom.slices import Slices
from segttt.io.orient import check_grid

SAME_DIRECTION = 1e-3  # components of one series' axes that round-off explains
SAME_PLACE_MM = 1e-3
ROUNDED_MM = 0.101  # positions are sometimes written with one decimal, the ends included
IRREGULAR = 0.02  # of the distance of two slices
SIDEWAYS = 0.1  # of a pixel, over the whole stack
TWICE = 1.5  # a step this much longer than the others lacks a slice
FARTHEST = 4.0  # usual distances that are bridged on request; beyond, an organ may lie between
STEEPEST_DEGREES = 45.0  # gantries tilt by 30 at most


def stack_of(
    frames: Sequence[Frame],
    rows: int,
    columns: int,
    place: Path,
    remedies: Remedies = Remedies(),  # noqa: B008  (frozen)
) -> Stack:
    """The frames in their order along the normal and their grid, array axes (slice, row, column).

    A `GeometryError` says what keeps them from being one regular volume, unless one of the
    `remedies` makes them one.
    """
    positions, axes, pixel = _complete(frames, place)
    normal = np.cross(*axes)
    order = np.argsort(positions @ normal, kind="stable")
    turned = np.stack([normal, axes[1], axes[0]])
    slices = Slices(positions[order], turned, pixel, (rows, columns))
    done = [
        _mended_distances(slices.heights_mm, place, remedies),
        _mended_tilt(slices, place, remedies),
    ]
    steps = slices.heights_mm[-1] - slices.heights_mm[0]
    count = round(float(steps) / slices.usual_mm) + 1 if done[0] else len(frames)
    grid = check_grid(regular_grid(slices, max(count, 2), tilted=bool(done[1])), place)
    words = [f"{done[0]} onto {count} at {grid.spacing_mm[0]:g} mm"] if done[0] else []
    words += [done[1]] if done[1] else []
    return Stack(tuple(int(index) for index in order), slices, grid, tuple(words))


def _complete(
    frames: Sequence[Frame], place: Path
) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """Positions, the two axes and the pixel spacing, where every frame has them and they agree."""
    for name, values in (
        ("ImagePositionPatient", [frame.position for frame in frames]),
        ("ImageOrientationPatient", [frame.orientation for frame in frames]),
        ("PixelSpacing", [frame.spacing for frame in frames]),
    ):
        if lacking := sum(value is None for value in values):
            raise GeometryError(
                f"{place}: {name} is missing or no number in {lacking} of {len(frames)} slices, so "
                "nothing says where they lie. Export the original series again."
            )
    if len(frames) < 2:
        raise GeometryError(
            f"{place}: holds a single slice; a volume has at least two. Add the rest of the series."
        )
    orientations = np.array([frame.orientation for frame in frames], dtype=float)
    if np.abs(orientations - orientations[0]).max() > SAME_DIRECTION:
        raise GeometryError(
            f"{place}: its slices are turned against each other (a rotating or radial "
            "acquisition). Use a series of parallel slices."
        )
    axes = orientations.mean(axis=0).reshape(2, 3)
    if np.abs(axes @ axes.T - np.eye(2)).max() > SAME_DIRECTION:
        raise GeometryError(
            f"{place}: ImageOrientationPatient is no pair of right-angled unit vectors. "
            "Export the original series again."
        )
    axes[0] /= np.linalg.norm(axes[0])
    axes[1] -= (axes[0] @ axes[1]) * axes[0]
    axes[1] /= np.linalg.norm(axes[1])
    spacings = np.array([frame.spacing for frame in frames], dtype=float)
    if (spacings <= 0).any() or not np.allclose(spacings, spacings[0], rtol=1e-3, atol=0):
        raise GeometryError(
            f"{place}: PixelSpacing is from {spacings.min():g} to {spacings.max():g} mm over its "
            "slices. Export the original series again."
        )
    row, column = (float(step) for step in spacings[0])
    return np.array([frame.position for frame in frames], dtype=float), axes, (row, column)


def _mended_distances(heights: np.ndarray, place: Path, remedies: Remedies) -> str:
    """What resampling would do to the distances, in words; empty where they are regular."""
    steps = np.diff(heights)
    if twice := int((steps < SAME_PLACE_MM).sum()):
        raise GeometryError(
            f"{place}: {twice} of {len(heights)} slices lie where another one lies (several "
            "echoes, phases or b-values, or a copy?). Keep one slice per position."
        )
    usual = float(np.median(steps))
    gaps = steps[steps > TWICE * usual]
    regular = np.linspace(heights[0], heights[-1], len(heights))
    off = np.abs(heights - regular).max()
    if not len(gaps) and off <= max(IRREGULAR * usual, min(ROUNDED_MM, 0.1 * usual)):
        return ""
    too_far = len(gaps) > 0 and gaps.max() > FARTHEST * usual
    if remedies.resample_nonuniform and not too_far:
        return f"resampled {len(heights)} slices, {steps.min():g} to {steps.max():g} mm apart,"
    advice = (
        f"Gaps beyond {FARTHEST:g} distances are not interpolated."
        if too_far
        else "`segttt predict --resample-nonuniform` interpolates between them."
    )
    if len(gaps):
        missing = int(sum(round(gap / usual) - 1 for gap in gaps.tolist()))
        raise GeometryError(
            f"{place}: has a gap of {gaps.max():g} mm where its slices are {usual:g} mm apart; "
            f"{missing} of {len(heights) + missing} slices are missing. Send the whole series. "
            f"{advice}"
        )
    raise GeometryError(
        f"{place}: its slices are {steps.min():g} to {steps.max():g} mm apart. {advice}"
    )


def _mended_tilt(slices: Slices, place: Path, remedies: Remedies) -> str:
    """What correcting the tilt would do, in words; empty where the stack grows along its normal."""
    offsets = slices.corners_mm - slices.corners_mm[0]
    heights = offsets @ slices.axes[0]
    aside = offsets - np.outer(heights, slices.axes[0])
    furthest = float(np.linalg.norm(aside, axis=1).max())
    allowed = SIDEWAYS * min(slices.pixel_mm)
    if furthest <= allowed:
        return ""
    slope = heights @ aside / (heights @ heights)
    uneven = float(np.linalg.norm(aside - np.outer(heights, slope), axis=1).max())
    degrees = float(np.degrees(np.arctan(np.linalg.norm(slope))))
    said = f"{place}: its slices are shifted sideways by {furthest:.3g} mm in all"
    if uneven > max(allowed, ROUNDED_MM) or degrees > STEEPEST_DEGREES:
        raise GeometryError(f"{said}, unlike any tilted gantry. Export the original series again.")
    if remedies.correct_tilt:
        return f"corrected a tilt of {degrees:.3g} degrees"
    raise GeometryError(
        f"{said}, as by a tilted gantry. `segttt predict --correct-tilt` straightens it."
    )
