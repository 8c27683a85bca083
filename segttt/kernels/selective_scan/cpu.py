"""The selective scan in plain PyTorch, forward and backward, sized for the caches of a CPU.

A sample and a scan make one row. The work is cut into tiles: some rows, some consecutive chunks of
tokens, all channels and states. A tensor of a tile is [t, m, r, s, d], position in the chunk,
chunk, row, state, channel, so that one position of a whole tile lies together. README.md beside
this file has the mathematics. It runs on every device.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import e, log2
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

CHUNK = 64
"""Tokens from one saved state to the next. With 32 the backward pass takes 10 % less time and twice
the states are saved; with 128 both passes take up to 40 % longer."""

LANES = 16_384
"""Numbers per position of a tile. Its 2**20 numbers, 4 MiB, stay in the cache that cores share;
with half as many lanes both passes take up to 15 % longer, with twice as many up to 40 %."""

FEW_LANES = 8_192
"""Where rows have fewer lanes, the call of an operation outweighs its work, so the chunks of a tile
advance at once: 1,024 lanes then take a third of the time, 4,096 lanes 10 % less. That needs a
second pass to find where chunks start, for which 8,192 lanes would pay 20 %."""


class Inputs(NamedTuple):
    """The arguments of the scan, or their gradients."""

    u: Tensor  # [b, g, n, d]
    dt: Tensor  # [b, g, n, d]
    A: Tensor  # [g, d, s]
    B: Tensor  # [b, g, n, s]
    C: Tensor  # [b, g, n, s]
    D: Tensor  # [g, d]
    dt_bias: Tensor  # [g, d]


def forward(inputs: Inputs) -> tuple[Float[Tensor, "b g n d"], Float[Tensor, "m b g s d"]]:
    """The output in the dtype of u, and the state before each of m chunks of `CHUNK` tokens."""
    rows = _by_rows(inputs, rooms=2)
    out = torch.empty_like(rows.u, memory_format=torch.contiguous_format)
    starts = rows.A.new_empty((-(-out.shape[1] // CHUNK), *rows.A.shape))
    for tiles in rows.tiles:
        carry = torch.zeros_like(rows.A[tiles[0].rows])
        for tile in tiles:
            steps, states = _steps(rows, tile), rows.room(1, tile)
            _outer(steps.B, steps.moved, out=states[1:])
            line, decays = states.unbind(0), steps.decay.unbind(0)
            line[0].copy_(_starts(steps, line, decays, carry, 1))
            _advance(line, decays)
            starts[tile.chunks, tile.rows] = line[0]
            carry = line[-1][-1].clone()
            y = _over_states(steps.C, states[1:])
            tile.cut(out).copy_(torch.addcmul(y, rows.D[tile.rows], steps.u))
    shape = inputs.u.shape[:2]
    return out.unflatten(0, shape), starts.unflatten(1, shape)


def backward(
    d_out: Float[Tensor, "b g n d"], starts: Float[Tensor, "m b g s d"], inputs: Inputs
) -> Inputs:
    """Gradients of `forward`, each in the dtype of its argument, given the states it returned."""
    rows, shape = _by_rows(inputs, rooms=3), inputs.u.shape[:2]
    d_out, starts = d_out.flatten(0, 1), starts.flatten(1, 2)
    whole = (rows.u, rows.dt, rows.B, rows.C)
    u, dt, B, C = (torch.empty_like(x, memory_format=torch.contiguous_format) for x in whole)
    A, D, bias = (torch.zeros_like(x) for x in (rows.A, rows.D, rows.bias))
    grads = Inputs(u, dt, A, B, C, D, bias)
    for tiles in rows.tiles:
        carry = torch.zeros_like(rows.A[tiles[0].rows])
        for tile in reversed(tiles):
            d_y = rows.take(d_out, tile)
            carry = _backward(rows, tile, starts[tile.chunks, tile.rows], d_y, carry, grads)
    u, dt, B, C = (x.unflatten(0, shape) for x in (u, dt, B, C))
    A, D, bias = (x.unflatten(0, shape).sum(0) for x in (A.mT, D, bias))
    return Inputs(
        u, dt, A.to(inputs.A.dtype), B, C, D.to(inputs.D.dtype), bias.to(inputs.dt_bias.dtype)
    )


@dataclass(frozen=True)
class _Tile:
    """Some rows, and `count` chunks of `length` tokens from chunk `first` on."""

    rows: slice
    first: int
    count: int
    length: int

    @property
    def chunks(self) -> slice:
        return slice(self.first, self.first + self.count)

    def cut(self, x: Tensor) -> Tensor:
        """[rows, n, w] -> [t, m, r, w], sharing memory."""
        start = self.first * CHUNK
        part = x[self.rows, start : start + self.count * self.length]
        return part.unflatten(1, (self.count, self.length)).permute(2, 1, 0, 3)


@dataclass(frozen=True)
class _Rows:
    """The arguments, one row per sample and scan; small ones in the precision of the state."""

    u: Tensor  # [rows, n, d]
    dt: Tensor  # [rows, n, d]
    A: Tensor  # [rows, s, d]
    B: Tensor  # [rows, n, s]
    C: Tensor  # [rows, n, s]
    D: Tensor  # [rows, d]
    bias: Tensor  # [rows, d]
    tiles: list[list[_Tile]]  # in the order of the sequence, per group of rows
    rooms: Tensor  # [rooms, size of the largest room]

    def take(self, x: Tensor, tile: _Tile) -> Tensor:
        """[rows, n, w] -> [t, m, r, w], contiguous and in the precision of the state."""
        return tile.cut(x).to(self.A.dtype).contiguous()

    def room(self, index: int, tile: _Tile) -> Tensor:
        """[t + 1, m, r, s, d], holding what was left there.

        Fresh memory costs more than the arithmetic on it, so all tiles work in the same rooms.
        """
        shape = torch.Size((tile.length + 1, tile.count, *self.A[tile.rows].shape))
        return self.rooms[index, : shape.numel()].view(shape)


class _Steps(NamedTuple):
    """What the steps of a tile do, whatever the state."""

    u: Tensor  # [t, m, r, d]
    raw: Tensor  # [t, m, r, d], delta = softplus(raw)
    delta: Tensor  # [t, m, r, d]
    moved: Tensor  # [t, m, r, d], delta * u
    B: Tensor  # [t, m, r, s]
    C: Tensor  # [t, m, r, s]
    rate: Tensor  # [r, s, d], decay = exp2(delta * rate)
    decay: Tensor  # [t, m, r, s, d]


def _by_rows(inputs: Inputs, rooms: int) -> _Rows:
    (b, g, n, d), s = inputs.u.shape, inputs.A.shape[-1]
    kind = torch.promote_types(inputs.u.dtype, torch.float32)
    u, dt, B, C = (x.flatten(0, 1) for x in (inputs.u, inputs.dt, inputs.B, inputs.C))
    A = inputs.A.to(kind).mT.repeat(b, 1, 1)
    D, bias = (x.to(kind).repeat(b, 1) for x in (inputs.D, inputs.dt_bias))
    tiles = _tiles(b * g, n, s * d)
    largest = tiles[0][0]
    size = (largest.length + 1) * largest.count * A[largest.rows].numel()
    return _Rows(u, dt, A, B, C, D, bias, tiles, A.new_empty((rooms, size)))


def _tiles(rows: int, n: int, lane: int) -> list[list[_Tile]]:
    """Per group of rows the tiles of n tokens; a row has `lane` numbers per position."""
    height = max(1, min(rows, LANES // lane))
    count = 1 if height * lane >= FEW_LANES else LANES // (height * lane)
    full, rest = divmod(n, CHUNK)
    groups = []
    for top in range(0, rows, height):
        part = slice(top, min(top + height, rows))
        firsts = range(0, full, count)
        tiles = [_Tile(part, first, min(count, full - first), CHUNK) for first in firsts]
        groups.append([*tiles, _Tile(part, full, 1, rest)] if rest else tiles)
    return groups


def _steps(rows: _Rows, tile: _Tile) -> _Steps:
    u, dt, B, C = (rows.take(x, tile) for x in (rows.u, rows.dt, rows.B, rows.C))
    raw = dt + rows.bias[tile.rows]
    delta = F.softplus(raw)
    rate = rows.A[tile.rows] * log2(e)  # exp2 takes less than half the time of exp
    decay = torch.mul(delta[..., None, :], rate, out=rows.room(0, tile)[1:]).exp2_()
    return _Steps(u, raw, delta, delta * u, B, C, rate, decay)


def _starts(
    steps: _Steps, line: Sequence[Tensor], decays: Sequence[Tensor], carry: Tensor, order: int
) -> Tensor:
    """The state [m, r, s, d] in which each chunk starts, given that of the first, `carry`.

    `line` has room for the states in the order of the scan, which is 1 or -1; from the second on
    it holds what enters at each step.
    """
    if len(line[0]) == 1:
        return carry[None]
    ends = line[1].clone()
    for enters, decay in zip(line[2:], decays[1:], strict=True):
        torch.addcmul(enters, decay, ends, out=ends)
    totals = torch.exp2(steps.delta.sum(0)[..., None, :] * steps.rate)
    starts = [carry]
    for end, total in zip(ends.unbind(0)[::order], totals.unbind(0)[::order], strict=True):
        starts.append(torch.addcmul(end, total, starts[-1]))
    return torch.stack(starts[:-1][::order])


def _advance(line: Sequence[Tensor], decays: Sequence[Tensor]) -> None:
    """From the first state of `line` on, add to what enters what is left of the state before."""
    for before, decay, after in zip(line[:-1], decays, line[1:], strict=True):
        torch.addcmul(after, decay, before, out=after)


def _backward(
    rows: _Rows, tile: _Tile, start: Tensor, d_y: Tensor, carry: Tensor, grads: Inputs
) -> Tensor:
    """Write or add the gradients of one tile; returns that of the state in which it starts."""
    steps = _steps(rows, tile)
    u, raw, delta, moved, B, C, _, decay = steps
    decays = decay.unbind(0)
    states = rows.room(1, tile)
    _outer(B, moved, out=states[1:])
    states[0] = start
    _advance(states.unbind(0), decays)

    # The gradient of each state, as far as it comes from later states.
    later = rows.room(2, tile)
    _outer(C, d_y, out=later[:-1]).mul_(decay)
    line, decays = later.unbind(0)[::-1], decays[::-1]
    line[0].copy_(_starts(steps, line, decays, carry, -1))
    _advance(line, decays)
    carry = line[-1][0].clone()

    d_moved = _over_states(B, later[1:]) + d_y * (B * C).sum(-1, keepdim=True)
    d_B = _over_channels(moved, later[1:]) + C * (moved * d_y).sum(-1, keepdim=True)
    tile.cut(grads.B).copy_(d_B)
    tile.cut(grads.C).copy_(_over_channels(d_y, states[1:]))
    tile.cut(grads.u).copy_(torch.addcmul(delta * d_moved, rows.D[tile.rows], d_y))

    d_exponent = states[:-1].mul_(later[:-1])
    d_delta = u * d_moved + torch.mul(d_exponent, rows.A[tile.rows], out=decay).sum(-2)
    d_raw = d_delta * torch.sigmoid(raw)
    tile.cut(grads.dt).copy_(d_raw)
    grads.dt_bias[tile.rows] += d_raw.sum((0, 1))
    grads.D[tile.rows] += (d_y * u).sum((0, 1))
    grads.A[tile.rows] += d_exponent.mul_(delta[..., None, :]).sum((0, 1))
    return carry


def _outer(states: Tensor, channels: Tensor, out: Tensor) -> Tensor:
    """[..., s] and [..., d] -> [..., s, d]"""
    return torch.mul(states[..., None], channels[..., None, :], out=out)


def _over_states(weights: Tensor, x: Tensor) -> Tensor:
    """[..., s] and [..., s, d] -> [..., d]"""
    return (weights[..., None, :] @ x).squeeze(-2)


def _over_channels(weights: Tensor, x: Tensor) -> Tensor:
    """[..., d] and [..., s, d] -> [..., s]; as a row times a matrix, seven times faster."""
    return (weights[..., None, :] @ x.mT).squeeze(-2)
