"""Irregular or tilted slices onto a regular grid by linear interpolation, and labels back."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int, Integer
from scipy.ndimage import affine_transform

from segttt.geometry.grid import Grid
from segttt.io.dicom.slices import Slices
from segttt.shapes import Triple

ROUND_OFF = 6  # decimals of a pixel that computing a position may not decide on


@dataclass(frozen=True, eq=False)
class Stack:
    """The slices of a series and the regular grid that they become."""

    order: tuple[int, ...]
    """Of the slices among the frames of the files."""
    slices: Slices
    grid: Grid
    remedies: tuple[str, ...] = ()
    """What it took to become regular, in words; nothing where the slices lie on the grid."""


def regular_grid(slices: Slices, count: int, *, tilted: bool) -> Grid:
    """A grid of `count` slices from the first to the last, wide enough for all of a tilted stack.

    In plane it has the pixels of the lowest slice.
    """
    heights = slices.heights_mm
    low, high = _reach(_shifts(slices)) if tilted else (np.zeros(2, int), np.zeros(2, int))
    corner = slices.points_mm(0, low[None].astype(float))[0]
    rows, columns = (int(n) for n in np.add(slices.size, high - low))
    first, second, third = (_triple(axis) for axis in slices.axes)
    step = float(heights[-1] - heights[0]) / (count - 1)
    return Grid(
        (count, rows, columns), (step, *slices.pixel_mm), _triple(corner), (first, second, third)
    )


def to_grid(
    planes: Float32[np.ndarray, "n rows columns"], stack: Stack
) -> Float32[np.ndarray, "z y x"]:
    """Voxels of the slices on the grid; outside of the slices the lowest value of them all."""
    if not stack.remedies:
        return planes
    low, size = planes.min(), stack.grid.shape[1:]
    moved = np.stack(
        [
            affine_transform(plane, np.ones(2), -offset, size, order=1, mode="constant", cval=low)
            for plane, offset in zip(planes, _offsets(stack), strict=True)
        ]
    )
    heights = stack.slices.heights_mm
    wanted = np.linspace(heights[0], heights[-1], stack.grid.shape[0])
    place = np.interp(wanted, heights, np.arange(len(heights))).round(ROUND_OFF)
    below = np.minimum(place.astype(int), len(heights) - 2)
    share = (place - below).astype(np.float32)[:, None, None]
    return (1 - share) * moved[below] + share * moved[below + 1]


def to_slices(
    labels: Integer[np.ndarray, "z y x"], stack: Stack
) -> Integer[np.ndarray, "n rows columns"]:
    """The inverse of `to_grid` for labels: each slice takes the nearest voxels of the grid."""
    if not stack.remedies:
        return labels
    heights, (rows, columns) = stack.slices.heights_mm, stack.slices.size
    nearest = np.rint((heights - heights[0]) / stack.grid.spacing_mm[0]).astype(int)
    starts = np.rint(_offsets(stack)).astype(int)
    return np.stack(
        [
            labels[index, row : row + rows, column : column + columns]
            for index, (row, column) in zip(nearest, starts, strict=True)
        ]
    )


def _offsets(stack: Stack) -> Float[np.ndarray, "n 2"]:
    """Where the first pixel of each slice lies on the plane of the grid, in pixels."""
    if stack.grid.shape[1:] == stack.slices.size:
        return np.zeros((len(stack.slices.corners_mm), 2))
    shifts = _shifts(stack.slices)
    return shifts - _reach(shifts)[0]


def _shifts(slices: Slices) -> Float[np.ndarray, "n 2"]:
    """How far each slice lies beside the lowest one, in pixels (row, column)."""
    aside = (slices.corners_mm - slices.corners_mm[0]) @ slices.axes[1:].T
    return (aside / np.array(slices.pixel_mm)).round(ROUND_OFF)


def _reach(shifts: Float[np.ndarray, "n 2"]) -> tuple[Int[np.ndarray, "2"], Int[np.ndarray, "2"]]:
    return np.floor(shifts.min(0)).astype(int), np.ceil(shifts.max(0)).astype(int)


def _triple(vector: np.ndarray) -> Triple:
    a, b, c = (float(value) + 0.0 for value in vector)
    return a, b, c
