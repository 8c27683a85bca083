"""Where the parts of a long sequence start, so that they can be scanned side by side.

Segments are scanned from zero; then, one after the other, each segment's end is what it has gained
plus what is left of its start.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from segttt.kernels.selective_scan.triton_steps import (
    channel_row,
    chunk_of,
    chunks_in,
    rates,
    softplus,
    state_row,
    tile_mask,
    tile_place,
)
from segttt.kernels.selective_scan.triton_tune import Plan


@triton.jit(do_not_specialize=["backwards", "A_d", "A_s", "unit"])
@no_type_check
def ends_kernel(
    x,
    dt,
    A,
    weights,
    bias,
    ends,
    totals,
    n,
    d,
    scans,
    length,
    backwards,
    x_b,
    x_g,
    x_n,
    dt_b,
    dt_g,
    dt_n,
    A_g,
    A_d,
    A_s,
    unit,
    BD: tl.constexpr,
    S: tl.constexpr,
    STATES: tl.constexpr,
    CHUNK: tl.constexpr,
    GRADIENT: tl.constexpr,
    STAGES: tl.constexpr,
):
    """The state at the end of each segment that starts at zero, and the segment's sum of delta.

    The state is h, entered by delta u B (x: u, weights: B); or else its gradient q, which runs the
    other way and is entered by dy C before the decay (x: dy, weights: C).
    """
    blocks = tl.cdiv(d, BD)
    row = (tl.program_id(0) // blocks).to(tl.int64)
    segment = tl.program_id(1)
    sample, scan = row // scans, row % scans
    back = ((backwards >> scan) & 1) == 1
    step = tl.where(back, -1, 1)
    channels = (tl.program_id(0) % blocks) * BD + tl.arange(0, BD)
    states = tl.arange(0, S)
    mask = tile_mask(states, channels, d, STATES)
    rate = rates(A, scan, A_g, A_d, A_s, states, channels, mask)
    shift = tl.load(bias + scan * d + channels, mask=channels < d, other=0.0).to(tl.float32)
    x += sample * x_b + scan * x_g
    dt += sample * dt_b + scan * dt_g
    weights += row * n * STATES

    state = tl.zeros([S, BD], tl.float32)
    total = tl.zeros([BD], tl.float32)
    for i in range(chunks_in(segment, length, n, CHUNK)):
        _chunk, first, tokens = chunk_of(i, segment, length, n, back, CHUNK)
        for j in tl.range(0, tokens, num_stages=STAGES):
            t = first + j * step
            delta = softplus(channel_row(dt, t, dt_n, channels, d) + shift)
            value = channel_row(x, t, x_n, channels, d)
            weight = state_row(weights, t, states, STATES, S)
            decay = tl.exp2(rate * delta[None, :])
            if GRADIENT:
                state = decay * (weight[:, None] * value[None, :] + state)
            else:
                state = decay * state + weight[:, None] * (delta * value)[None, :]
            total += delta

    index = tl.cast(segment, tl.int64) * (tl.num_programs(0) // blocks) + row
    tl.store(totals + index * d + channels, total, mask=channels < d)
    tl.store(ends + tile_place(index, states, channels, d, unit, STATES), state, mask=mask)


@triton.jit(do_not_specialize=["backwards", "A_d", "A_s"])
@no_type_check
def carry_kernel(
    ends,
    totals,
    A,
    d,
    scans,
    segments,
    backwards,
    A_g,
    A_d,
    A_s,
    BD: tl.constexpr,
    S: tl.constexpr,
    STATES: tl.constexpr,
):
    """Turn the ends of segments into the states in which they are entered, in place."""
    blocks = tl.cdiv(d, BD)
    row = (tl.program_id(0) // blocks).to(tl.int64)
    rows = tl.num_programs(0) // blocks
    scan = row % scans
    back = ((backwards >> scan) & 1) == 1
    channels = (tl.program_id(0) % blocks) * BD + tl.arange(0, BD)
    states = tl.arange(0, S)
    mask = tile_mask(states, channels, d, STATES)
    rate = rates(A, scan, A_g, A_d, A_s, states, channels, mask)

    carry = tl.zeros([S, BD], tl.float32)
    for i in tl.range(0, segments, num_stages=3):
        index = tl.cast(tl.where(back, segments - 1 - i, i), tl.int64) * rows + row
        place = tile_place(index, states, channels, d, 1, STATES)
        end = tl.load(ends + place, mask=mask, other=0.0)
        total = tl.load(totals + index * d + channels, mask=channels < d, other=0.0)
        tl.store(ends + place, carry, mask=mask)
        carry = tl.exp2(rate * total[None, :]) * carry + end


def marks(backwards: list[bool]) -> int:
    """One bit per scan, set where it runs backwards."""
    return sum(1 << scan for scan, back in enumerate(backwards) if back)


def rows_contiguous(x: Tensor) -> Tensor:
    """The same numbers, with the channels of a token side by side."""
    return x if x.stride(-1) == 1 else x.contiguous()


def entered_states(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    weights: Tensor,
    bias: Tensor,
    backwards: int,
    plan: Plan,
    *,
    gradient: bool,
) -> Tensor:
    """The state in which each segment is entered, [segments, b, g, s, d]; `backwards` as marks."""
    (b, g, n, d), s = x.shape, A.shape[-1]
    ends = x.new_empty((plan.segments, b, g, s, d), dtype=torch.float32)
    totals = x.new_empty((plan.segments, b, g, d), dtype=torch.float32)
    programs, states = b * g * triton.cdiv(d, plan.channels), triton.next_power_of_2(s)
    tile = {"BD": plan.channels, "S": states, "STATES": s, **plan.options}
    ends_kernel[(programs, plan.segments)](
        x,
        dt,
        A,
        weights,
        bias,
        ends,
        totals,
        n,
        d,
        g,
        plan.length,
        backwards,
        *x.stride()[:3],
        *dt.stride()[:3],
        *A.stride(),
        1,
        CHUNK=plan.chunk,
        GRADIENT=gradient,
        STAGES=plan.stages,
        **tile,
    )
    strides = A.stride()
    carry_kernel[(programs,)](ends, totals, A, d, g, plan.segments, backwards, *strides, **tile)
    return ends
