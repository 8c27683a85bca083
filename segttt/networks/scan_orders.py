"""The scan orders of MM-UNet: the ways in which a feature map is read as a sequence."""

from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from segttt.networks.scan_names import parse

WINDOW = (4, 8, 8)
"""Voxels along (z, y, x) of a window of order n; the paper does not say how many."""

_AXES = {"a": "zyx", "c": "zxy", "e": "xzy", "g": "xyz", "i": "yzx", "k": "yxz", "m": "zyx"}
"""Slowest first."""


class Scan(NamedTuple):
    """One order of the voxels of a grid."""

    voxels: Int[Tensor, " n"]
    """Raster indices in the order of reading; raster is the last axis fastest."""
    sequences: int
    """Sequences of equal length into which the tokens are cut; the slices for m, else 1."""


@lru_cache(maxsize=64)
def scan(order: str, grid: tuple[int, ...]) -> Scan:
    """The order called `order` on a grid of edge lengths (z, y, x) or (y, x), on the CPU.

    Source: arXiv 2503.17540, figure 3(2) and table 1.
    """
    return traced_scan(order, grid)


def traced_scan(order: str, grid: tuple[int, ...]) -> Scan:
    """`scan` without its cache, for compilers, which make it a part of the graph."""
    letter, backwards = parse(order)
    volume = (1,) * (3 - len(grid)) + grid
    # The result is kept, so it must be an ordinary tensor whatever the mode of the first caller.
    with torch.inference_mode(False):
        index = _index(letter, volume)
        index = index.flip(0) if backwards else index
    return Scan(index, volume[0] if letter == "m" else 1)


def inverse(index: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
    """Position of each raster index, for the raster index of each position."""
    positions = torch.arange(len(index), device=index.device)
    return torch.empty_like(index).scatter_(0, index, positions)


def _index(letter: str, grid: tuple[int, ...]) -> Tensor:
    axes = [torch.arange(edge, device="cpu") for edge in grid]
    z, y, x = (axis.flatten() for axis in torch.meshgrid(*axes, indexing="ij"))
    match letter:
        case "n":
            edges = [min(edge, most) for edge, most in zip(grid, WINDOW, strict=True)]
            at = list(zip((z, y, x), edges, strict=True))
            return _sorted([axis // edge for axis, edge in at] + [axis % edge for axis, edge in at])
        case "o":
            row = torch.where(z % 2 == 0, y, grid[1] - 1 - y)
            # Rows alternate across slices, too, so that a slice starts where the last one ended.
            turned = (z * grid[1] + row) % 2 == 1
            return _sorted([z, row, torch.where(turned, grid[2] - 1 - x, x)])
        case "p":
            return _sorted([z, y + x, y])
        case _:
            named = {"z": z, "y": y, "x": x}
            return _sorted([named[axis] for axis in _AXES[letter]])


def _sorted(keys: list[Tensor]) -> Tensor:
    """Raster indices by the first key, equal ones by the next."""
    index = keys[-1].argsort(stable=True)
    for key in keys[-2::-1]:
        index = index[key[index].argsort(stable=True)]
    return index
