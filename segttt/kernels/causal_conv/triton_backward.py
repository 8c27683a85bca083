"""The gradients of the causal convolution on a GPU, all in one pass over memory.

A program has several walks along the tokens of a sample, side by side, for a block of channels. All
walk as memory lies, whatever the order of reading: at row p of x a scan that reads forwards knows
its answer at p, one that reads backwards its answer at p - (reach - 1), with its taps in reverse.
What both ask of token p - (reach - 1) is then complete. So the last rows of x and of what answers
ask stay in registers, each is read and each activation computed once, and scans of the same tokens
add their gradients before they are written.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from segttt.kernels.causal_conv.reference import Gradients
from segttt.kernels.causal_conv.triton_forward import (
    channel_row,
    channels_together,
    marks,
    place,
    sigmoid,
    token_rows,
    turned,
)
from segttt.kernels.causal_conv.triton_tune import AHEAD, TOGETHER, backward_plan


@triton.jit
@no_type_check
def taps_of(
    weight, weight_g, weight_d, weight_r, scan_0, backwards, channels, d,
    REACH: tl.constexpr, SCANS: tl.constexpr,
):  # fmt: skip
    """Those of all scans in the order of x, those of the first scan first."""
    taps = ()
    for scan in tl.static_range(SCANS):
        first = (scan_0 + scan).to(tl.int64) * weight_g
        back = turned(backwards, scan_0 + scan)
        for r in tl.static_range(REACH):
            tap = first + tl.where(back, REACH - 1 - r, r) * weight_r
            taps += (channel_row(weight, tap, weight_d, channels, d),)
    return taps


@triton.jit
@no_type_check
def asked_rows(
    d_out, sequence_0, scan_0, backwards, p, n, channels, d,
    REACH: tl.constexpr, SCANS: tl.constexpr,
):  # fmt: skip
    """What is asked of the answer that each scan knows at row p of x."""
    asked = ()
    for scan in tl.static_range(SCANS):
        t = p - tl.where(turned(backwards, scan_0 + scan), REACH - 1, 0)
        asked += (token_rows(d_out, (sequence_0 + scan) * n * d, d, t, n, channels, d),)
    return asked


@triton.jit
@no_type_check
def before_activation(asked, rows, taps, bias, scan: tl.constexpr, REACH: tl.constexpr):
    """The gradient of what SiLU is given."""
    total = tl.zeros_like(asked) + bias
    for r in tl.static_range(REACH):
        total += taps[scan * REACH + r] * rows[r]
    opening = sigmoid(total)
    return asked * opening * (1.0 + total * (1.0 - opening))


@triton.jit
@no_type_check
def write_sums(
    sums, learned, base, scan_0, backwards, channels, d,
    REACH: tl.constexpr, SCANS: tl.constexpr,
):  # fmt: skip
    """Those over a program's tokens, taps in their own order."""
    for scan in tl.static_range(SCANS):
        back = turned(backwards, scan_0 + scan)
        for r in tl.static_range(REACH + 1):
            tap = tl.where(back & (r < REACH), REACH - 1 - r, r)
            at = ((base + scan) * (REACH + 1) + tap) * d + channels
            part = tl.sum(learned[scan * (REACH + 1) + r], 0)
            tl.store(sums + at, part, mask=channels < d)


@triton.jit(do_not_specialize=["n", "kinds", "backwards", "length"])
@no_type_check
def conv_gradient_kernel(
    d_out,  # [b, g, n, d]
    x,
    weight,
    bias,
    d_x,  # [b, k, n, d]
    sums,  # [b * runs, g, reach + 1, d]
    n,
    d,
    kinds,
    backwards,
    length,
    x_b,
    x_g,
    x_n,
    weight_g,
    weight_d,
    weight_r,
    bias_g,
    bias_d,
    REACH: tl.constexpr,
    SCANS: tl.constexpr,
    SILU: tl.constexpr,
    WALKS: tl.constexpr,
    AHEAD: tl.constexpr,
    BD: tl.constexpr,
):
    """WALKS walks of `length` tokens each; SCANS scans for each of `kinds` kinds of tokens.

    Rows are fetched AHEAD steps before they are needed.
    """
    runs = tl.cdiv(n, WALKS * length)
    sample, run, kind, channels = place(runs, kinds, BD)
    first = (run * WALKS + tl.arange(0, WALKS)) * length
    end = tl.minimum(first + length, n)
    start = sample * x_b + kind.to(tl.int64) * x_g
    scan_0 = kind * SCANS
    sequence_0 = (sample * kinds + kind) * SCANS
    nothing = tl.zeros([WALKS, BD], tl.float32)

    taps = taps_of(
        weight, weight_g, weight_d, weight_r, scan_0, backwards, channels, d, REACH, SCANS
    )
    added, learned, answers, rows, asked = (), (), (), (), ()
    for scan in tl.static_range(SCANS):
        own_bias = (scan_0 + scan).to(tl.int64) * bias_g
        added += (channel_row(bias, own_bias, bias_d, channels, d),)
    for _ in tl.static_range(SCANS * REACH):
        answers += (nothing,)
    for _ in tl.static_range(SCANS * (REACH + 1)):
        learned += (nothing,)
    for r in tl.static_range(REACH + AHEAD):
        rows += (token_rows(x, start, x_n, first - REACH + r, n, channels, d),)
    for i in tl.static_range(AHEAD):
        p = first + i
        asked += asked_rows(d_out, sequence_0, scan_0, backwards, p, n, channels, d, REACH, SCANS)

    for step in range(length + REACH - 1):
        p = first + step
        rows = rows[1:]
        rows += (token_rows(x, start, x_n, p + AHEAD, n, channels, d),)
        asked += asked_rows(
            d_out, sequence_0, scan_0, backwards, p + AHEAD, n, channels, d, REACH, SCANS
        )
        total, next_learned, next_answers = nothing, (), ()
        for scan in tl.static_range(SCANS):
            now = asked[scan]
            if SILU:
                now = before_activation(now, rows, taps, added[scan], scan, REACH)
            t = p - tl.where(turned(backwards, scan_0 + scan), REACH - 1, 0)
            own = tl.where(((t >= first) & (t < end))[:, None], now, 0.0)
            window = answers[scan * REACH + 1 : scan * REACH + REACH]
            window += (now,)
            for r in tl.static_range(REACH):
                next_learned += (learned[scan * (REACH + 1) + r] + own * rows[r],)
                total += taps[scan * REACH + r] * window[REACH - 1 - r]
            next_learned += (learned[scan * (REACH + 1) + REACH] + own,)
            next_answers += window
        learned, answers, asked = next_learned, next_answers, asked[SCANS:]
        m = p - (REACH - 1)
        at = ((sample * kinds + kind) * n + m)[:, None] * d + channels[None, :]
        mask = ((m >= first) & (m < end))[:, None] & (channels < d)[None, :]
        tl.store(d_x + at, total.to(d_x.dtype.element_ty), mask=mask)

    base = (sample * runs + run) * kinds * SCANS + scan_0
    write_sums(sums, learned, base, scan_0, backwards, channels, d, REACH, SCANS)


def backward(
    d_out: Tensor, x: Tensor, weight: Tensor, bias: Tensor, backwards: list[bool], silu: bool
) -> Gradients:
    """As `reference.backward`."""
    (b, k, n, d), (g, _, reach) = x.shape, weight.shape
    if k == 1 and g > TOGETHER:  # more than registers hold
        each = backward(d_out, x.expand(-1, g, -1, -1), weight, bias, backwards, silu)
        return each._replace(x=each.x.sum(1, keepdim=True))
    plan = backward_plan(b * k, n, d, g // k)
    runs = triton.cdiv(n, plan.walks * plan.length)
    x, d_x = channels_together(x), x.new_empty((b, k, n, d))
    sums = x.new_empty((b * runs, g, reach + 1, d), dtype=torch.float32)
    conv_gradient_kernel[(b * runs * k, triton.cdiv(d, plan.channels))](
        *(d_out.contiguous(), x, weight, bias, d_x, sums, n, d, k, marks(backwards), plan.length),
        *(*x.stride()[:3], *weight.stride(), *bias.stride()),
        REACH=reach,
        SCANS=g // k,
        SILU=silu,
        WALKS=plan.walks,
        AHEAD=AHEAD,
        BD=plan.channels,
        **plan.options,
    )
    total = sums.sum(0)
    d_weight = total[:, :reach].mT.to(weight.dtype, memory_format=torch.contiguous_format)
    return Gradients(d_x, d_weight.contiguous(), total[:, reach].to(bias.dtype).contiguous())
