"""The selective scan in plain PyTorch, forward and backward, sized for the caches of a CPU.

A sample and a scan make one row. The work is cut into tiles: some rows of one direction, some
consecutive chunks of tokens, all channels and states. A tensor of a tile is [t, m, r, s, d],
position in the chunk, chunk, row, state, channel, so that one position of a whole tile lies
together. A scan that runs backwards walks through the same tensors from the other end, as the
gradient of one that runs forwards does. README.md beside this file has the mathematics. It runs on
every device.
"""

from collections.abc import Iterator, Sequence
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


def forward(
    inputs: Inputs, backwards: Sequence[bool], dtype: torch.dtype
) -> tuple[Float[Tensor, "b g n d"], Float[Tensor, "m b g s d"]]:
    """The output in `dtype`, and the state in which each of m chunks of `CHUNK` tokens is entered.

    `backwards` says for each of the g scans whether it goes from the last token to the first, and
    thus enters a chunk at its last token; the first chunk is that of the first token either way.
    """
    rows = _by_rows(inputs, backwards, rooms=2)
    out = torch.empty(rows.u.shape, dtype=dtype, device=rows.u.device)
    starts = rows.A.new_empty((-(-out.shape[1] // CHUNK), *rows.A.shape))
    for tiles in rows.tiles:
        carry = torch.zeros_like(rows.A[tiles[0].rows])
        for tile in tiles:
            steps, states = _steps(rows, tile), _walk(rows.room(1, tile), tile.step)
            _outer(steps.B, steps.moved, out=states.after)
            carry = _advance(steps, states, _starts(steps, states, carry))
            starts[tile.chunks, tile.rows] = states.line[0]
            y = _over_states(steps.C, states.after)
            tile.cut(out).copy_(torch.addcmul(y, rows.D[tile.rows], steps.u))
    shape = inputs.u.shape[:2]
    return out.unflatten(0, shape), starts.unflatten(1, shape)


def backward(
    d_out: Float[Tensor, "b g n d"],
    starts: Float[Tensor, "m b g s d"],
    inputs: Inputs,
    backwards: Sequence[bool],
) -> Inputs:
    """Gradients of `forward`, each in the dtype of its argument, given the states it returned."""
    rows, shape = _by_rows(inputs, backwards, rooms=3), inputs.u.shape[:2]
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
    step: int  # 1, or -1 where the rows are read backwards
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
    tiles: list[list[_Tile]]  # in the order in which they are read, per group of rows
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


class _Walk(NamedTuple):
    """States on a way through a tile; `before` and `after` each token share all but one."""

    line: Sequence[Tensor]  # t + 1 of [m, r, s, d], in the order of the walk
    before: Tensor  # [t, m, r, s, d], in the order of the sequence
    after: Tensor  # [t, m, r, s, d], in the order of the sequence
    step: int


def _walk(room: Tensor, step: int) -> _Walk:
    """`step` is 1 from the first token to the last, -1 from the last to the first."""
    low, high = room[:-1], room[1:]
    before, after = (low, high) if step == 1 else (high, low)
    return _Walk(room.unbind(0)[::step], before, after, step)


def _by_rows(inputs: Inputs, backwards: Sequence[bool], rooms: int) -> _Rows:
    (b, _, n, d), s = inputs.u.shape, inputs.A.shape[-1]
    kind = torch.promote_types(inputs.u.dtype, torch.float32)
    u, dt, B, C = (x.flatten(0, 1) for x in (inputs.u, inputs.dt, inputs.B, inputs.C))
    A = inputs.A.to(kind).mT.repeat(b, 1, 1)
    D, bias = (x.to(kind).repeat(b, 1) for x in (inputs.D, inputs.dt_bias))
    tiles = _tiles(list(backwards) * b, n, s * d)
    ends = [tile for row in tiles for tile in (row[0], row[-1])]  # the first chunks are many
    size = max((tile.length + 1) * tile.count * A[tile.rows].numel() for tile in ends)
    return _Rows(u, dt, A, B, C, D, bias, tiles, A.new_empty((rooms, size)))


def _tiles(backwards: list[bool], n: int, lane: int) -> list[list[_Tile]]:
    """Per group of rows the tiles of n tokens; a row has `lane` numbers per position."""
    full, rest = divmod(n, CHUNK)
    groups = []
    for part, step in _parts(backwards, max(1, LANES // lane)):
        height = len(range(*part.indices(len(backwards))))
        count = 1 if height * lane >= FEW_LANES else LANES // (height * lane)
        firsts = range(0, full, count)
        tiles = [_Tile(part, step, first, min(count, full - first), CHUNK) for first in firsts]
        last = [_Tile(part, step, full, 1, rest)] if rest else []
        groups.append((tiles + last)[::step])
    return groups


def _parts(backwards: list[bool], height: int) -> Iterator[tuple[slice, int]]:
    """At most `height` rows of one direction, evenly spaced so that no slice copies; its step."""
    for back in (False, True):
        rows = [row for row, one in enumerate(backwards) if one == back]
        while rows:
            gap = rows[1] - rows[0] if len(rows) > 1 else 1
            many = 1
            while many < min(height, len(rows)) and rows[many] - rows[many - 1] == gap:
                many += 1
            yield slice(rows[0], rows[many - 1] + 1, gap), -1 if back else 1
            rows = rows[many:]


def _steps(rows: _Rows, tile: _Tile) -> _Steps:
    u, dt, B, C = (rows.take(x, tile) for x in (rows.u, rows.dt, rows.B, rows.C))
    raw = dt + rows.bias[tile.rows]
    delta = F.softplus(raw)
    rate = rows.A[tile.rows] * log2(e)  # exp2 takes less than half the time of exp
    decay = torch.mul(delta[..., None, :], rate, out=rows.room(0, tile)[1:]).exp2_()
    return _Steps(u, raw, delta, delta * u, B, C, rate, decay)


def _advance(steps: _Steps, states: _Walk, starts: Tensor) -> Tensor:
    """Turn what enters `after` each step into the state there; chunks are entered at `starts`.

    Returns the state [r, s, d] in which the tile is left.
    """
    line, decays = states.line, steps.decay.unbind(0)[:: states.step]
    line[0].copy_(starts)
    for before, decay, after in zip(line[:-1], decays, line[1:], strict=True):
        torch.addcmul(after, decay, before, out=after)
    return line[-1][-1 if states.step == 1 else 0].clone()


def _starts(steps: _Steps, states: _Walk, carry: Tensor) -> Tensor:
    """The state [m, r, s, d] in which each chunk is entered, given that of the tile, `carry`."""
    line, order = states.line, states.step
    if len(line[0]) == 1:
        return carry[None]
    ends = line[1].clone()
    for enters, decay in zip(line[2:], steps.decay.unbind(0)[::order][1:], strict=True):
        torch.addcmul(enters, decay, ends, out=ends)
    totals = torch.exp2(steps.delta.sum(0)[..., None, :] * steps.rate)
    starts = [carry]
    for end, total in zip(ends.unbind(0)[::order], totals.unbind(0)[::order], strict=True):
        starts.append(torch.addcmul(end, total, starts[-1]))
    return torch.stack(starts[:-1][::order])


def _backward(
    rows: _Rows, tile: _Tile, start: Tensor, d_y: Tensor, carry: Tensor, grads: Inputs
) -> Tensor:
    """Write or add the gradients of one tile; returns that of the state in which it starts."""
    steps = _steps(rows, tile)
    u, raw, delta, moved, B, C, _, decay = steps
    states = _walk(rows.room(1, tile), tile.step)
    _outer(B, moved, out=states.after)
    _advance(steps, states, start)

    # The gradient of each state, as far as it comes from states read later.
    later = _walk(rows.room(2, tile), -tile.step)
    _outer(C, d_y, out=later.after).mul_(decay)
    carry = _advance(steps, later, _starts(steps, later, carry))

    d_moved = _over_states(B, later.before) + d_y * (B * C).sum(-1, keepdim=True)
    d_B = _over_channels(moved, later.before) + C * (moved * d_y).sum(-1, keepdim=True)
    tile.cut(grads.B).copy_(d_B)
    tile.cut(grads.C).copy_(_over_channels(d_y, states.after))
    tile.cut(grads.u).copy_(torch.addcmul(delta * d_moved, rows.D[tile.rows], d_y))

    d_exponent = states.before.mul_(later.after)
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
