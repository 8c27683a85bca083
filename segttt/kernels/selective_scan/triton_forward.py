"""The selective scan on a GPU: one walk along the tokens, from softplus to gate."""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from segttt.kernels.selective_scan.cpu import Inputs
from segttt.kernels.selective_scan.triton_split import entered_states, marks, rows_contiguous
from segttt.kernels.selective_scan.triton_steps import (
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
from segttt.kernels.selective_scan.triton_tune import forward_plan


@triton.jit(do_not_specialize=["backwards", "A_d", "A_s", "unit"])
@no_type_check
def scan_kernel(
    u,
    dt,
    A,
    B,
    C,
    D,
    bias,
    z,
    entered,
    out,
    merged,
    sums,
    starts,
    n,
    d,
    scans,
    length,
    backwards,
    share,
    u_b,
    u_g,
    u_n,
    dt_b,
    dt_g,
    dt_n,
    z_b,
    z_n,
    A_g,
    A_d,
    A_s,
    unit,
    BD: tl.constexpr,
    S: tl.constexpr,
    STATES: tl.constexpr,
    CHUNK: tl.constexpr,
    MERGE: tl.constexpr,
    GATE: tl.constexpr,
    SPLIT: tl.constexpr,
    STAGES: tl.constexpr,
):
    """Emit the tokens of a segment, of one row [b * g] or, where scans merge, of all of a sample.

    Scans merge one after the other, in `sums` [b, n, d] in float32, times `share` at the end.
    """
    blocks = tl.cdiv(d, BD)
    program = (tl.program_id(0) // blocks).to(tl.int64)
    segment = tl.program_id(1)
    channels = (tl.program_id(0) % blocks) * BD + tl.arange(0, BD)
    states = tl.arange(0, S)
    mask = tile_mask(states, channels, d, STATES)
    turns = scans if MERGE else 1
    rows = tl.num_programs(0) // blocks * turns
    for turn in range(turns):
        row = program * turns + turn
        sample, scan = row // scans, row % scans
        back = ((backwards >> scan) & 1) == 1
        step = tl.where(back, -1, 1)
        rate = rates(A, scan, A_g, A_d, A_s, states, channels, mask)
        weights = scan * d + channels
        shift = tl.load(bias + weights, mask=channels < d, other=0.0).to(tl.float32)
        skip = tl.load(D + weights, mask=channels < d, other=0.0).to(tl.float32)
        u_row = u + sample * u_b + scan * u_g
        dt_row = dt + sample * dt_b + scan * dt_g
        B_row, C_row = B + row * n * STATES, C + row * n * STATES
        state = tl.zeros([S, BD], tl.float32)
        if SPLIT:
            index = tl.cast(segment, tl.int64) * rows + row
            place = tile_place(index, states, channels, d, unit, STATES)
            state = tl.load(entered + place, mask=mask, other=0.0)
        # How many channels take part in what only the first or the last scan of a sample does.
        at_first = tl.where(turn == 0, 0, d)
        at_last = tl.where(turn == turns - 1, d, 0)
        for i in range(chunks_in(segment, length, n, CHUNK)):
            chunk, first, tokens = chunk_of(i, segment, length, n, back, CHUNK)
            index = tl.cast(chunk, tl.int64) * rows + row
            place = tile_place(index, states, channels, d, unit, STATES)
            tl.store(starts + place, state, mask=mask)
            for j in tl.range(0, tokens, num_stages=STAGES):
                t = first + j * step
                delta = softplus(channel_row(dt_row, t, dt_n, channels, d) + shift)
                value = channel_row(u_row, t, u_n, channels, d)
                enter = state_row(B_row, t, states, STATES, S)
                leave = state_row(C_row, t, states, STATES, S)
                decay = tl.exp2(rate * delta[None, :])
                state = decay * state + enter[:, None] * (delta * value)[None, :]
                y = tl.sum(leave[:, None] * state, 0) + skip * value
                if MERGE:
                    y += channel_row(sums + sample * n * d, t, d, channels, at_first)
                    store_row(sums + sample * n * d, t, d, channels, y, d - at_last)
                    y *= share
                    if GATE:
                        store_row(merged + sample * n * d, t, d, channels, y, at_last)
                        gate = channel_row(z + sample * z_b, t, z_n, channels, at_last)
                        y *= gate * sigmoid(gate)
                    store_row(out + sample * n * d, t, d, channels, y, at_last)
                else:
                    store_row(out + row * n * d, t, d, channels, y, d)
        if MERGE:
            tl.debug_barrier()  # the next scan reads the sums, which other lanes may have written


def forward(
    inputs: Inputs, backwards: list[bool], merge: str, z: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """As the operator: the output, what z gates (else nothing), and the states entering chunks."""
    u, dt, A, B, C, D, bias = inputs
    u, dt, B, C = rows_contiguous(u), rows_contiguous(dt), B.contiguous(), C.contiguous()
    D, bias = D.contiguous(), bias.contiguous()
    (b, g, n, d), s = u.shape, A.shape[-1]
    merging = merge != "none"
    plan = forward_plan(b if merging else b * g, n, d, s)
    entered = None
    if plan.segments > 1:
        entered = entered_states(u, dt, A, B, bias, marks(backwards), plan, gradient=False)
    out = torch.empty((b, n, d) if merging else (b, g, n, d), dtype=u.dtype, device=u.device)
    merged = out.new_empty((0,) if z is None else (b, n, d))
    starts = out.new_empty((-(-n // plan.chunk), b, g, s, d), dtype=torch.float32)
    sums = None
    if merging:
        whole = out if z is None else merged
        sums = whole if u.dtype == torch.float32 else out.new_empty((b, n, d), dtype=torch.float32)
    z = None if z is None else rows_contiguous(z)
    programs = (b if merging else b * g) * triton.cdiv(d, plan.channels)
    scan_kernel[(programs, plan.segments)](
        u,
        dt,
        A,
        B,
        C,
        D,
        bias,
        z,
        entered,
        out,
        merged,
        sums,
        starts,
        n,
        d,
        g,
        plan.length,
        marks(backwards),
        1 / g if merge == "mean" else 1.0,
        *u.stride()[:3],
        *dt.stride()[:3],
        *((0, 0) if z is None else z.stride()[:2]),
        *A.stride(),
        1,
        BD=plan.channels,
        S=triton.next_power_of_2(s),
        STATES=s,
        CHUNK=plan.chunk,
        MERGE=merging,
        GATE=z is not None,
        SPLIT=plan.segments > 1,
        STAGES=plan.stages,
        **plan.options,
    )
    return out, merged, starts
