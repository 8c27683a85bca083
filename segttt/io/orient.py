"""How voxels lie in the patient: sound grids, and turning axes to the canonical order and back."""

import math
from itertools import permutations
from pathlib import Path

import numpy as np

from segttt.cases import Orientation
from segttt.errors import GeometryError
from segttt.geometry.grid import Grid

LARGEST_MM = 1e5  # of spacing and of origin; anything beyond is a broken header
SKEW = 1e-3  # cosine between two axes that header round-off can explain
CANONICAL = Orientation((0, 1, 2), (False, False, False))
NOT_FINITE_ADVICE = "Export the scan again with a valid geometry."


def check_grid(grid: Grid, path: Path) -> Grid:
    """The grid itself, or a `GeometryError` that says what no scanner produces."""
    spacing, origin = grid.spacing_mm, grid.origin_mm
    if not all(0 < step < LARGEST_MM for step in spacing):
        raise GeometryError(f"{path}: has spacing {_words(spacing)} mm. {NOT_FINITE_ADVICE}")
    if not all(abs(position) < LARGEST_MM for position in origin):
        raise GeometryError(f"{path}: has origin {_words(origin)} mm. {NOT_FINITE_ADVICE}")
    rows = np.asarray(grid.direction)
    skew = np.abs(rows @ rows.T - np.eye(3)).max()
    if not math.isfinite(skew) or skew > SKEW:
        raise GeometryError(
            f"{path}: its axes are not at right angles (cosine up to {skew:.3g}). "
            "Resample it onto a rectangular grid first, for example with its scanner's software."
        )
    return grid


def orientation_of(grid: Grid) -> Orientation:
    """Which file axes run closest to superior, posterior and left, and which of them backwards."""
    towards = np.asarray(grid.direction)[:, ::-1]  # rows are file axes, columns s, p, l
    orders = list(permutations(range(3)))
    closeness = [sum(abs(towards[axis, i]) for i, axis in enumerate(order)) for order in orders]
    a, b, c = orders[int(np.argmax(closeness))]
    return Orientation(
        (a, b, c), (bool(towards[a, 0] < 0), bool(towards[b, 1] < 0), bool(towards[c, 2] < 0))
    )


def turn(array: np.ndarray, orientation: Orientation) -> np.ndarray:
    """A view of an array (..., z, y, x) in file axes with its axes in the canonical order."""
    lead = array.ndim - 3
    order = (*range(lead), *(lead + axis for axis in orientation.order))
    return np.flip(array.transpose(order), _flipped(orientation, lead))


def turn_back(array: np.ndarray, orientation: Orientation) -> np.ndarray:
    """The inverse of `turn`."""
    lead = array.ndim - 3
    inverse = np.argsort(orientation.order)
    order = (*range(lead), *(lead + int(axis) for axis in inverse))
    return np.flip(array, _flipped(orientation, lead)).transpose(order)


def _flipped(orientation: Orientation, lead: int) -> tuple[int, ...]:
    return tuple(lead + axis for axis in range(3) if orientation.flipped[axis])


def _words(triple: tuple[float, float, float]) -> str:
    return " x ".join(f"{value:g}" for value in triple)
