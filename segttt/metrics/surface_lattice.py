"""The lattice of the corners of voxels, and which corners lie on the surface of a label."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import pi, prod

import numpy as np
from jaxtyping import Bool, Float, Integer, UInt8

BLOCK = 1 << 18
"""Corners looked at in one go: the temporaries stay in the cache, whatever the volume."""
WINDOW = 200
"""Corners in `Lattice.shells`; from 150 to 400, the times measured differ by less than 10 %."""

Positions = Integer[np.ndarray, " n"]


@dataclass(frozen=True)
class Lattice:
    """The corners of the voxels of a grid, (z, y, x) or (y, x), by their position in memory.

    Corner i of an axis lies between voxels i - 1 and i. Every axis is longer than the grid has
    corners, so that no step of `shells` leads from one row or slice into the next; steps back from
    the first corners lead to the end, as negative indices do, which is empty too.
    """

    grid: tuple[int, ...]
    spacing_mm: tuple[float, ...]

    @cached_property
    def radius_mm(self) -> float:
        """Radius of the ball (disk) that holds about `WINDOW` corners."""
        unit = {2: pi, 3: 4 / 3 * pi}[len(self.grid)]
        return (WINDOW * prod(self.spacing_mm) / unit) ** (1 / len(self.grid))

    @cached_property
    def reach(self) -> tuple[int, ...]:
        """Corners within the radius along each axis, at least one."""
        return tuple(max(1, int(self.radius_mm / spacing)) for spacing in self.spacing_mm)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        return tuple(n + 1 + more for n, more in zip(self.grid, self.reach, strict=True))

    @cached_property
    def strides(self) -> tuple[int, ...]:
        return tuple(prod(self.shape[axis + 1 :]) for axis in range(len(self.shape)))

    @cached_property
    def shells(self) -> list[tuple[float, Positions]]:
        """Steps to the nearest `WINDOW` corners by their length in mm, the shortest (0) first."""
        box = np.indices([2 * n + 1 for n in self.reach]).reshape(len(self.reach), -1).T
        steps = box - self.reach
        lengths = self.lengths_mm(steps)
        order = np.argsort(lengths, kind="stable")
        order = order[lengths[order] <= self.radius_mm][:WINDOW]
        distances, first = np.unique(lengths[order], return_index=True)
        groups = np.split(steps[order] @ self.strides, first[1:])
        return list(zip(distances.tolist(), groups, strict=True))

    def marks(self) -> Bool[np.ndarray, " m"]:
        """A mark for each position, none set."""
        return np.zeros(prod(self.shape), bool)

    def indices(self, at: Positions) -> Integer[np.ndarray, "n axes"]:
        """Corners along each axis."""
        return np.stack(np.unravel_index(at, self.shape), axis=1)

    def lengths_mm(self, steps: Integer[np.ndarray, "n axes"]) -> Float[np.ndarray, " n"]:
        """From whole steps, so that equal steps are exactly as long wherever they start."""
        return np.sqrt(np.square(steps * np.asarray(self.spacing_mm)).sum(axis=1))


@dataclass(frozen=True)
class Elements:
    """Surface elements: their positions on a lattice and the codes of the voxels around them."""

    at: Positions
    codes: UInt8[np.ndarray, " n"]


def elements(volume: Integer[np.ndarray, "*grid"], lattice: Lattice) -> dict[int, Elements]:
    """Surface elements of each positive value of a volume, which lies in background.

    The bits of a code stand for the voxels around the corner in the order of the array, the first
    one highest, as `segttt.metrics.surface_elements.areas` has them.
    """
    found = [part for block in _blocks(volume, lattice) for part in _by_label(*block, lattice)]
    if not found:
        return {}
    at, labels, codes = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.argsort(labels, kind="stable")
    names, first = np.unique(labels[order], return_index=True)
    groups = np.split(order, first[1:])
    return {
        name: Elements(at[group], codes[group])
        for name, group in zip(names.tolist(), groups, strict=True)
    }


def _blocks(volume: np.ndarray, lattice: Lattice) -> Iterator[tuple[int, np.ndarray]]:
    """Parts of the volume as it lies on the lattice, with the position of their first corner.

    Voxel i of an axis is put at i + 1, so that a corner comes first of the voxels around it.
    """
    rows = max(1, BLOCK // lattice.strides[0])
    inside = tuple(slice(1, n + 1) for n in volume.shape[1:])
    for first in range(0, volume.shape[0] + 1, rows):
        slices = volume[max(first - 1, 0) : first + rows]
        block = np.zeros((rows + 1, *lattice.shape[1:]), volume.dtype)
        top = 1 if first == 0 else 0
        block[slice(top, top + len(slices)), *inside] = slices
        yield first * lattice.strides[0], block.reshape(-1)


def _by_label(
    start: int, block: np.ndarray, lattice: Lattice
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Positions, labels and codes of the surface elements of a block.

    A corner where labels meet is an element of each: the highest is found, then wiped out.
    """
    at = _mixed(block, lattice)
    around = np.dot(list(product((0, 1), repeat=len(lattice.grid))), lattice.strides)
    bits = (1 << np.arange(len(around))[::-1, None]).astype(np.uint8)
    values = block[at + around[:, None]]  # [voxels around, corners]
    while at.size:
        highest = values.max(axis=0)
        some = highest > 0
        at, values, highest = at[some], values[:, some], highest[some]
        here = values == highest
        yield start + at, highest, (here * bits).sum(axis=0, dtype=np.uint8)
        values = values * ~here


def _mixed(block: np.ndarray, lattice: Lattice) -> np.ndarray:
    """Corners whose voxels are not all of one value."""
    low = high = block
    for stride in lattice.strides[::-1]:
        low = np.minimum(low[:-stride], low[stride:])
        high = np.maximum(high[:-stride], high[stride:])
    return np.flatnonzero(low != high)
