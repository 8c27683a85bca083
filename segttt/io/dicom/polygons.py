"""Closed outlines of a mask, and the mask within closed outlines, in (row, column) of pixels."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from skimage.measure import find_contours

ROUND_OFF = 6  # decimals of a pixel; noise must not decide on which side of an edge a centre lies


def outlines(mask: Bool[np.ndarray, "rows columns"]) -> list[Float[np.ndarray, "p 2"]]:
    """Polygons half a pixel around the mask, those around its holes among them.

    The last point is joined to the first and not repeated; points on a straight run are left out.
    """
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if not len(rows):
        return []
    part = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    corner = (rows[0] - 1, columns[0] - 1)
    found = find_contours(np.pad(part.astype(np.float32), 1), 0.5)
    return [_corners(polygon[:-1] + corner) for polygon in found]


def inside(
    polygons: Sequence[Float[np.ndarray, "_ 2"]], rows: int, columns: int
) -> Bool[np.ndarray, "{rows} {columns}"]:
    """Pixels whose centre lies within an odd number of windings of all polygons together.

    A centre on an edge belongs to the side of larger rows or columns, so that of two regions that
    share an edge exactly one has it. Parts outside of the plane are left away.
    """
    crossings = np.zeros((rows, columns + 1), np.uint8)
    if polygons:
        _cross(crossings, [polygon.round(ROUND_OFF) for polygon in polygons])
    return np.bitwise_xor.accumulate(crossings, axis=1)[:, :columns].astype(bool)


def _cross(crossings: np.ndarray, polygons: Sequence[np.ndarray]) -> None:
    """Flip, for each row and edge, the first pixel to the right of their crossing."""
    start = np.concatenate(polygons)
    end = np.concatenate([np.roll(polygon, -1, axis=0) for polygon in polygons])
    upward = start[:, 0] > end[:, 0]
    start, end = (np.where(upward[:, None], a, b) for a, b in ((end, start), (start, end)))
    first, stop = (np.ceil(one[:, 0]).clip(0, len(crossings)).astype(int) for one in (start, end))
    count = stop - first  # rows that an edge crosses: its upper end belongs to it, its lower not
    edge = np.repeat(np.arange(len(count)), count)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    (y, x), (dy, dx) = start[edge].T, (end - start)[edge].T
    column = np.ceil((x + (row - y) / dy * dx).round(ROUND_OFF))
    place = row, column.clip(0, crossings.shape[1] - 1).astype(int)
    np.bitwise_xor.at(crossings, place, np.uint8(1))


def _corners(polygon: np.ndarray) -> np.ndarray:
    before, after = polygon - np.roll(polygon, 1, axis=0), np.roll(polygon, -1, axis=0) - polygon
    return polygon[before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]]
