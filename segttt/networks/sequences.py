"""Tokens as sequences, one per scan order, and their results back on the raster, joined."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from segttt.networks.scan_orders import inverse, scan, traced_scan

Grid = tuple[int, ...]
Layer = Callable[[Tensor, slice, list[bool]], Tensor]
"""Maps sequences [b, g, n, w] of the orders in a slice to results [b, g, n, v].

The flags tell which of them it shall read from the last token to the first.
"""
Indices = tuple[Tensor, Tensor, int]
"""Raster index of each position, position of each raster index (both [g, n]), and sequences."""

RASTER = {"a": False, "-b": False, "b": True, "-a": True}
"""The orders that need no index, and whether they read backwards."""


class Sequences(nn.Module):
    """Runs a layer along each of `orders` over a feature map and joins what it gives.

    The raster and its reverse are read in place. For all other orders tokens are gathered; the
    indices for maps of the edge lengths `grid` are kept, those for other maps are looked up.
    """

    def __init__(self, orders: tuple[str, ...], grid: Grid, *, mean: bool):
        super().__init__()
        # Each kind makes one batch of sequences: in place, gathered, gathered and cut into slices.
        kinds = [_kind(order) for order in orders]
        groups = [
            tuple(order for order, its in zip(orders, kinds, strict=True) if its == kind)
            for kind in range(3)
        ]
        self.groups = [group for group in groups if group]
        self.grid, self.count = grid, len(orders)
        self.mean = mean and self.count > 1
        self.cuts: list[int] = []
        for place, group in enumerate(self.groups):
            if group[0] not in RASTER:
                there, back, _ = _indices(group, grid)
                self.register_buffer(f"there{place}", there, persistent=False)
                self.register_buffer(f"back{place}", back, persistent=False)
            self.cuts.append(1 if group[0] in RASTER else scan(group[0], grid).sequences)

    def forward(
        self, x: Float[Tensor, "b n w"], grid: Grid, layer: Layer
    ) -> Float[Tensor, "b n v"]:
        """`layer` along every order of the raster tokens `x`; the sum or mean of its results."""
        first, parts = 0, []
        for place, group in enumerate(self.groups):
            which = slice(first, first + len(group))
            first = which.stop
            if group[0] in RASTER:
                same = x[:, None].expand(-1, len(group), -1, -1)
                out = layer(same, which, [RASTER[order] for order in group])
                parts.append(out.sum(1) if len(group) > 1 else out.squeeze(1))
                continue
            there, back, cuts = self._indices(place, grid, x.device)
            out = layer(_cut(read(x, there, back), cuts), which, [False] * len(group))
            parts.append(join(_uncut(out, cuts), there, back))
        total = sum(parts[1:], start=parts[0])
        return total / self.count if self.mean else total

    def _indices(self, place: int, grid: Grid, device: torch.device) -> Indices:
        if grid != self.grid:
            there, back, cuts = _indices(self.groups[place], grid)
            return there.to(device), back.to(device), cuts
        there, back = getattr(self, f"there{place}"), getattr(self, f"back{place}")
        return there.to(device), back.to(device), self.cuts[place]


def read(
    x: Float[Tensor, "b n w"], there: Int[Tensor, "g n"], back: Int[Tensor, "g n"]
) -> Float[Tensor, "b g n w"]:
    """The tokens in each order; `back` is the inverse of `there`."""
    return _Read.apply(x, there, back)  # pyright: ignore[reportReturnType]


def join(
    y: Float[Tensor, "b g n w"], there: Int[Tensor, "g n"], back: Int[Tensor, "g n"]
) -> Float[Tensor, "b n w"]:
    """The adjoint of `read`: every sequence back on the raster, summed."""
    return _Join.apply(y, there, back)  # pyright: ignore[reportReturnType]


class _Read(torch.autograd.Function):
    """Indexing whose gradient is indexing, too: an order visits each token exactly once."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, there: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(there, back)
        return _gathered(x, there)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        _, back = ctx.saved_tensors
        return _summed(grads[0], back), None, None


class _Join(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, there: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(there, back)
        return _summed(y, back)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        there, _ = ctx.saved_tensors
        return _gathered(grads[0], there), None, None


def _gathered(x: Tensor, there: Tensor) -> Tensor:
    return x.index_select(1, there.flatten()).unflatten(1, tuple(there.shape))


def _summed(y: Tensor, back: Tensor) -> Tensor:
    total = y[:, 0].index_select(1, back[0])
    for place in range(1, len(back)):
        total = total + y[:, place].index_select(1, back[place])
    return total


def _kind(order: str) -> int:
    return 0 if order in RASTER else 2 if order.endswith("m") else 1


def _indices(orders: tuple[str, ...], grid: Grid) -> Indices:
    found = traced_scan if torch.compiler.is_compiling() else scan
    scans = [found(order, grid) for order in orders]
    there = torch.stack([one.voxels for one in scans])
    return there, torch.stack([inverse(one.voxels) for one in scans]), scans[0].sequences


def _cut(x: Tensor, cuts: int) -> Tensor:
    """[b, g, n, w] -> [b * cuts, g, n / cuts, w]"""
    return x if cuts == 1 else x.unflatten(2, (cuts, -1)).transpose(1, 2).flatten(0, 1)


def _uncut(x: Tensor, cuts: int) -> Tensor:
    """The inverse of `_cut`."""
    return x if cuts == 1 else x.unflatten(0, (-1, cuts)).transpose(1, 2).flatten(2, 3)
