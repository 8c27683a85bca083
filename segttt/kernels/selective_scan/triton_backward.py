"""Gradients of the selective scan on a GPU, in one walk against the direction of each scan.

A chunk starts from the state that the forward pass has saved. It is scanned once more, noting the
state before every few tokens; then, these few at a time and last first, their states are formed in
registers, and the gradient of the state passes through them.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from segttt.kernels.selective_scan import triton_merge
from segttt.kernels.selective_scan.cpu import Inputs
from segttt.kernels.selective_scan.triton_split import entered_states, marks, rows_contiguous
from segttt.kernels.selective_scan.triton_steps import (
    LN_2,
    channel_row,
    chunk_of,
    chunks_in,
    rates,
    sigmoid,
    softplus,
    state_row,
    store_row,
    tile_mask,
    tile_place,
)
from segttt.kernels.selective_scan.triton_tune import backward_plan


@triton.jit(do_not_specialize=["backwards", "A_d", "A_s"])
@no_type_check
def gradient_kernel(
    d_out,
    u,
    dt,
    A,
    B,
    C,
    D,
    bias,
    starts,
    entered,
    notes,
    d_u,
    d_dt,
    d_A,
    d_B,
    d_C,
    d_D,
    d_bias,
    n,
    d,
    scans,
    length,
    backwards,
    o_b,
    o_g,
    o_n,
    u_b,
    u_g,
    u_n,
    dt_b,
    dt_g,
    dt_n,
    A_g,
    A_d,
    A_s,
    BD: tl.constexpr,
    S: tl.constexpr,
    STATES: tl.constexpr,
    CHUNK: tl.constexpr,
    FEW: tl.constexpr,
    SPLIT: tl.constexpr,
):
    """The gradients of a segment of one row [b * g] and block of channels.

    Those of B and C are sums over the block, [blocks, b, g, n, s]; those of A, D and dt_bias are
    sums over the segment, [segments, b, g, ...].
    """
    blocks = tl.cdiv(d, BD)
    block = tl.program_id(0) % blocks
    row = (tl.program_id(0) // blocks).to(tl.int64)
    rows = tl.num_programs(0) // blocks
    segment = tl.program_id(1)
    sample, scan = row // scans, row % scans
    back = ((backwards >> scan) & 1) == 1
    step = tl.where(back, -1, 1)
    channels = block * BD + tl.arange(0, BD)
    states = tl.arange(0, S)
    mask = tile_mask(states, channels, d, STATES)
    rate = rates(A, scan, A_g, A_d, A_s, states, channels, mask)
    weights = scan * d + channels
    shift = tl.load(bias + weights, mask=channels < d, other=0.0).to(tl.float32)
    skip = tl.load(D + weights, mask=channels < d, other=0.0).to(tl.float32)
    d_out += sample * o_b + scan * o_g
    u += sample * u_b + scan * u_g
    dt += sample * dt_b + scan * dt_g
    d_u += row * n * d
    d_dt += row * n * d
    B += row * n * STATES
    C += row * n * STATES
    d_B += (block.to(tl.int64) * rows + row) * n * STATES
    d_C += (block.to(tl.int64) * rows + row) * n * STATES
    program = tl.program_id(1).to(tl.int64) * tl.num_programs(0) + tl.program_id(0)
    # A note is padded to a whole tile, [S, BD].
    note = notes + program * (CHUNK // FEW) * S * BD
    note += states[:, None] * BD + tl.arange(0, BD)[None, :]

    # q is what the tokens read later ask of the state.
    q = tl.zeros([S, BD], tl.float32)
    index = tl.cast(segment, tl.int64) * rows + row
    if SPLIT:
        place = tile_place(index, states, channels, d, 1, STATES)
        q = tl.load(entered + place, mask=mask, other=0.0)
    sum_A = tl.zeros([S, BD], tl.float32)
    sum_D = tl.zeros([BD], tl.float32)
    sum_bias = tl.zeros([BD], tl.float32)
    count = chunks_in(segment, length, n, CHUNK)
    for i in range(count):
        chunk, first, tokens = chunk_of(count - 1 - i, segment, length, n, back, CHUNK)
        start = tl.cast(chunk, tl.int64) * rows + row
        place = tile_place(start, states, channels, d, 1, STATES)
        h = tl.load(starts + place, mask=mask, other=0.0)
        few = tl.cdiv(tokens, FEW)
        for j in range(few):
            tl.store(note + j * (S * BD), h)
            for k in tl.static_range(FEW):
                at = j * FEW + k
                t = first + tl.minimum(at, tokens - 1) * step
                live = tl.where(at < tokens, d, 0)  # steps beyond the chunk change nothing
                raw = channel_row(dt, t, dt_n, channels, d) + shift
                delta = tl.where(channels < live, softplus(raw), 0.0)
                moved = delta * channel_row(u, t, u_n, channels, d)
                enter = state_row(B, t, states, STATES, S)
                h = tl.exp2(rate * delta[None, :]) * h + enter[:, None] * moved[None, :]
        tl.debug_barrier()  # other lanes may read a note than have written it
        for j in range(few - 1, -1, -1):
            h = tl.load(note + j * (S * BD))
            before = ()
            for k in tl.static_range(FEW):
                at = j * FEW + k
                t = first + tl.minimum(at, tokens - 1) * step
                live = tl.where(at < tokens, d, 0)
                raw = channel_row(dt, t, dt_n, channels, d) + shift
                delta = tl.where(channels < live, softplus(raw), 0.0)
                moved = delta * channel_row(u, t, u_n, channels, d)
                enter = state_row(B, t, states, STATES, S)
                before += (h,)
                h = tl.exp2(rate * delta[None, :]) * h + enter[:, None] * moved[None, :]
            for k in tl.static_range(FEW - 1, -1, -1):
                at = j * FEW + k
                t = first + tl.minimum(at, tokens - 1) * step
                live = tl.where(at < tokens, d, 0)
                raw = channel_row(dt, t, dt_n, channels, d) + shift
                delta = tl.where(channels < live, softplus(raw), 0.0)
                value = channel_row(u, t, u_n, channels, d)
                d_y = channel_row(d_out, t, o_n, channels, live)
                enter = state_row(B, t, states, STATES, S)
                leave = state_row(C, t, states, STATES, S)

                d_h = leave[:, None] * d_y[None, :] + q
                alive = tl.where(at < tokens, STATES, 0)
                store_row(d_C, t, STATES, states, tl.sum(h * d_y[None, :], 1), alive)
                d_enter = tl.sum(d_h * (delta * value)[None, :], 1)
                store_row(d_B, t, STATES, states, d_enter, alive)
                d_moved = tl.sum(d_h * enter[:, None], 0)
                q = tl.exp2(rate * delta[None, :]) * d_h
                h = before[k]
                d_exponent = q * h
                sum_A += d_exponent * delta[None, :]
                d_delta = value * d_moved + tl.sum(d_exponent * rate, 0) * LN_2
                d_raw = tl.where(channels < live, d_delta * sigmoid(raw), 0.0)
                sum_bias += d_raw
                sum_D += d_y * value
                store_row(d_u, t, d, channels, skip * d_y + delta * d_moved, live)
                store_row(d_dt, t, d, channels, d_raw, live)
        tl.debug_barrier()  # the next chunk writes over the notes

    tl.store(d_A + tile_place(index, states, channels, d, 1, STATES), sum_A, mask=mask)
    tl.store(d_D + index * d + channels, sum_D, mask=channels < d)
    tl.store(d_bias + index * d + channels, sum_bias, mask=channels < d)


def backward(
    d_out: Tensor,
    merged: Tensor,
    starts: Tensor,
    inputs: Inputs,
    backwards: list[bool],
    merge: str,
    z: Tensor | None,
) -> tuple[Inputs, Tensor | None]:
    """Gradients of the arguments, and of z if there is one, each in the dtype of its argument."""
    u, dt, A, B, C, D, bias = inputs
    (b, g, n, d), s = u.shape, A.shape[-1]
    d_y, d_z = triton_merge.backward(d_out, merged, merge, z, g)
    d_y, u, dt = rows_contiguous(d_y), rows_contiguous(u), rows_contiguous(dt)
    B, C, D, bias = B.contiguous(), C.contiguous(), D.contiguous(), bias.contiguous()
    plan = backward_plan(b * g, n, d, s)
    entered = None
    if plan.segments > 1:
        other_way = marks([not back for back in backwards])
        entered = entered_states(d_y, dt, A, C, bias, other_way, plan, gradient=True)
    blocks, states = triton.cdiv(d, plan.channels), triton.next_power_of_2(s)
    programs = b * g * blocks
    wide = {"dtype": torch.float32, "device": u.device}
    notes = (programs * plan.segments, plan.chunk // plan.few, states, plan.channels)
    d_u, d_dt = (torch.empty(u.shape, dtype=x.dtype, device=x.device) for x in (u, dt))
    d_A = torch.empty((plan.segments * b, g, s, d), **wide)
    d_D, d_bias = (torch.empty((plan.segments * b, g, d), **wide) for _ in range(2))
    sums = (blocks, b, g, n, s)  # those of a single block are the gradients themselves
    d_B, d_C = (x.new_empty(sums, dtype=x.dtype if blocks == 1 else torch.float32) for x in (B, C))
    gradient_kernel[(programs, plan.segments)](
        d_y,
        u,
        dt,
        A,
        B,
        C,
        D,
        bias,
        starts,
        entered,
        torch.empty(notes, **wide),
        d_u,
        d_dt,
        d_A,
        d_B,
        d_C,
        d_D,
        d_bias,
        n,
        d,
        g,
        plan.length,
        marks(backwards),
        *d_y.stride()[:3],
        *u.stride()[:3],
        *dt.stride()[:3],
        *A.stride(),
        BD=plan.channels,
        S=states,
        STATES=s,
        CHUNK=plan.chunk,
        FEW=plan.few,
        SPLIT=plan.segments > 1,
        **plan.options,
    )
    return Inputs(
        d_u,
        d_dt,
        d_A.sum(0).mT.to(A.dtype),
        *(one[0] if blocks == 1 else one.sum(0).to(x.dtype) for one, x in ((d_B, B), (d_C, C))),
        d_D.sum(0).to(D.dtype),
        d_bias.sum(0).to(bias.dtype),
    ), d_z
