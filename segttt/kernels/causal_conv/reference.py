"""The causal convolution in plain PyTorch: the definition, and what runs where no kernel does.

The gradients are written out. Work goes tile by tile, so that what lies between the passes over a
tile stays in the processor's cache.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

TILE = {"cpu": 2**18, "cuda": 2**24}
"""Numbers of a tile, at most. On a GPU a call takes microseconds however small its work."""


class Gradients(NamedTuple):
    """Of the arguments of `forward`."""

    x: Float[Tensor, "b k n d"]
    weight: Float[Tensor, "g d r"]
    bias: Float[Tensor, "g d"]


class _Tile(NamedTuple):
    """Some tokens of all samples as one scan sees them."""

    first: int
    end: int
    taps: Tensor
    """[r, d], that of the token itself last."""
    shifts: list[int]
    """From a token to the one that each tap is for."""
    bias: Tensor


def forward(
    x: Float[Tensor, "b k n d"],
    weight: Float[Tensor, "g d r"],
    bias: Float[Tensor, "g d"],
    backwards: list[bool],
    silu: bool,
) -> Float[Tensor, "b g n d"]:
    """See `op.causal_conv`; k is g, or 1 where all scans read the same tokens."""
    out = x.new_empty((len(x), len(weight), *x.shape[2:]))
    for scan, tile in _tiles(x, weight, bias, backwards):
        now = _before(_tokens(x, scan), tile)
        out[:, scan, tile.first : tile.end] = F.silu(now, inplace=True) if silu else now
    return out


def backward(
    d_out: Float[Tensor, "b g n d"],
    x: Float[Tensor, "b k n d"],
    weight: Float[Tensor, "g d r"],
    bias: Float[Tensor, "g d"],
    backwards: list[bool],
    silu: bool,
) -> Gradients:
    """Gradients of the arguments of `forward`, each in the dtype of its argument."""
    kind = torch.promote_types(x.dtype, torch.float32)
    d_x = x.new_zeros(x.shape, dtype=kind if x.shape[1] < len(weight) else x.dtype)
    d_weight, d_bias = (one.new_zeros(one.shape, dtype=kind) for one in (weight, bias))
    for scan, tile in _tiles(x, weight, bias, backwards):
        tokens, (first, end, taps, shifts, _) = _tokens(x, scan), tile
        low, high = first - max(shifts), end - min(shifts)  # of what hears of the tile
        wide = tile._replace(first=max(0, low), end=min(x.shape[2], high))
        asked = d_out[:, scan, wide.first : wide.end].to(kind)
        if silu:
            asked = torch.ops.aten.silu_backward(asked, _before(tokens, wide))
        own = asked[:, first - wide.first : end - wide.first]
        d_bias[scan] += own.sum((0, 1))
        for tap, shift in enumerate(shifts):
            to, till = max(first, -shift), min(end, x.shape[2] - shift)
            heard = tokens[:, max(0, to + shift) : max(0, till + shift)].to(kind)
            heard = heard * own[:, to - first : max(to, till) - first]
            d_weight[scan, :, tap] += heard.sum((0, 1))
        back = tile._replace(shifts=[-shift for shift in shifts], bias=taps.new_zeros(()))
        _tokens(d_x, scan)[:, first:end] += _weighed(asked, wide.first, back)
    return Gradients(d_x.to(x.dtype), d_weight.to(weight.dtype), d_bias.to(bias.dtype))


def _tiles(
    x: Tensor, weight: Tensor, bias: Tensor, backwards: list[bool]
) -> Iterator[tuple[int, _Tile]]:
    """By scan, all scans of the same tokens one after the other."""
    kind, reach = torch.promote_types(x.dtype, torch.float32), weight.shape[2]
    b, _, n, d = x.shape
    taps, added = weight.mT.to(kind).contiguous(), bias.to(kind)
    size = max(1, TILE.get(x.device.type, TILE["cuda"]) // (b * d))
    for first in range(0, n, size):
        for scan, turned in enumerate(backwards):
            shifts = [reach - 1 - tap if turned else tap + 1 - reach for tap in range(reach)]
            yield scan, _Tile(first, min(n, first + size), taps[scan], shifts, added[scan])


def _tokens(x: Tensor, scan: int) -> Tensor:
    return x[:, min(scan, x.shape[1] - 1)]


def _before(tokens: Tensor, tile: _Tile) -> Tensor:
    """What a tile's tokens are before the activation."""
    low = max(0, tile.first + min(tile.shifts))
    near = tokens[:, low : tile.end + max(tile.shifts)].to(tile.taps.dtype)
    return _weighed(near, low, tile)


def _weighed(source: Tensor, low: int, tile: _Tile) -> Tensor:
    """The bias and, for each tap, what `source`, which begins at token `low`, has at its shift."""
    first, end, taps, shifts, bias = tile
    total = torch.addcmul(bias, source[:, first - low : end - low], taps[-1])
    for tap, shift in zip(taps[:-1], shifts[:-1], strict=True):
        to, till = max(first, low - shift), min(end, low + source.shape[1] - shift)
        if to < till:
            heard = source[:, to + shift - low : till + shift - low]
            total[:, to - first : till - first].addcmul_(heard, tap)
    return total
