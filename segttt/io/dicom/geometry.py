"""From the planes of a series to one grid; whatever is not one regular stack is refused.

Distances come from the positions projected on the normal, never from SliceThickness or
SpacingBetweenSlices, which describe the acquisition and are often wrong for the stack.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segttt.errors import GeometryError
from segttt.geometry.grid import Grid
from segttt.io.dicom.header import Frame
from segttt.io.orient import check_grid

SAME_DIRECTION = 1e-3  # components of one series' axes that round-off explains
SAME_PLACE_MM = 1e-3
ROUNDED_MM = 0.101  # positions are sometimes written with one decimal, the ends included
IRREGULAR = 0.02  # of the distance of two slices
SIDEWAYS = 0.1  # of a pixel, over the whole stack
TWICE = 1.5  # a step this much longer than the others lacks a slice


def grid_of(
    frames: Sequence[Frame], rows: int, columns: int, place: Path
) -> tuple[list[int], Grid]:
    """The order of the frames along the normal and their grid, array axes (slice, row, column).

    A `GeometryError` says what keeps them from being one regular volume.
    """
    positions, axes, pixel = _complete(frames, place)
    along_row, along_column = axes
    normal = np.cross(along_row, along_column)
    heights = positions @ normal
    order = np.argsort(heights, kind="stable")
    steps = np.diff(heights[order])
    _refuse_irregular(heights[order], steps, place)
    _refuse_sideways(positions[order], normal, min(pixel), place)
    first, second, third = (_triple(axis) for axis in (normal, along_column, along_row))
    grid = Grid(
        (len(frames), rows, columns),
        (float(heights[order[-1]] - heights[order[0]]) / (len(frames) - 1), *pixel),
        _triple(positions[order[0]]),
        (first, second, third),
    )
    return [int(index) for index in order], check_grid(grid, place)


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


def _refuse_irregular(heights: np.ndarray, steps: np.ndarray, place: Path) -> None:
    if twice := int((steps < SAME_PLACE_MM).sum()):
        raise GeometryError(
            f"{place}: {twice} of {len(heights)} slices lie where another one lies (several "
            "echoes, phases or b-values, or a copy?). Keep one slice per position."
        )
    usual = float(np.median(steps))
    if len(gaps := steps[steps > TWICE * usual]):
        missing = int(sum(round(gap / usual) - 1 for gap in gaps.tolist()))
        raise GeometryError(
            f"{place}: has a gap of {gaps.max():g} mm where its slices are {usual:g} mm apart; "
            f"{missing} of {len(heights) + missing} slices are missing. Send the whole series."
        )
    regular = np.linspace(heights[0], heights[-1], len(heights))
    if np.abs(heights - regular).max() > max(IRREGULAR * usual, min(ROUNDED_MM, 0.1 * usual)):
        raise GeometryError(
            f"{place}: its slices are {steps.min():g} to {steps.max():g} mm apart. "
            "Resample it to equal distances first, for example with dcm2niix."
        )


def _refuse_sideways(
    positions: np.ndarray, normal: np.ndarray, pixel_mm: float, place: Path
) -> None:
    """A stack must grow along its normal; a tilted gantry shifts each slice."""
    offsets = positions - positions[0]
    sideways = offsets - np.outer(offsets @ normal, normal)
    furthest = float(np.linalg.norm(sideways, axis=1).max())
    if furthest > SIDEWAYS * pixel_mm:
        raise GeometryError(
            f"{place}: its slices are shifted sideways by {furthest:.3g} mm in all, as by a tilted "
            "gantry. Correct the tilt first, for example with dcm2niix, and segment the NIfTI file."
        )


def _triple(vector: np.ndarray) -> tuple[float, float, float]:
    a, b, c = (float(value) + 0.0 for value in vector)
    return a, b, c
