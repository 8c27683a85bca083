"""The causal convolution on a GPU, forward.

A program has a block of tokens and of channels of one scan, and loads as many shifted blocks of x
as there are taps: the first fetches its rows from memory, the others find them in the cache of the
processor that it runs on. All of them are under way at once; no token waits for another.
"""

from typing import no_type_check

import triton
import triton.language as tl
from torch import Tensor

from segttt.kernels.causal_conv.triton_tune import forward_tile


@triton.jit
@no_type_check
def place(blocks, kinds, BD: tl.constexpr):
    """Sample, block of tokens, kind and channels of this program; kinds are neighbours in time."""
    channels = tl.program_id(1) * BD + tl.arange(0, BD)
    block, kind = tl.program_id(0) // kinds, tl.program_id(0) % kinds
    return (block // blocks).to(tl.int64), block % blocks, kind, channels


@triton.jit
@no_type_check
def turned(backwards, scan):
    """Whether a scan reads backwards."""
    return ((backwards >> scan) & 1) == 1


@triton.jit
@no_type_check
def channel_row(memory, at, step, channels, d):
    """One number for each channel, as float32 [1, BD]."""
    row = tl.load(memory + at + channels.to(tl.int64) * step, mask=channels < d, other=0.0)
    return row.to(tl.float32)[None, :]


@triton.jit
@no_type_check
def token_rows(memory, start, step, tokens, n, channels, d):
    """A row for each token, as float32; zero beyond the sequence."""
    mask = ((tokens >= 0) & (tokens < n))[:, None] & (channels < d)[None, :]
    at = memory + (start + tokens.to(tl.int64) * step)[:, None] + channels[None, :]
    return tl.load(at, mask=mask, other=0.0).to(tl.float32)


@triton.jit
@no_type_check
def sigmoid(x):
    return 1.0 / (1.0 + tl.exp(-x))


@triton.jit(do_not_specialize=["n", "scans", "backwards"])
@no_type_check
def conv_kernel(
    x,
    weight,
    bias,
    out,  # [b, g, n, d], contiguous
    n,
    d,
    scans,
    backwards,
    x_b,
    x_g,
    x_n,
    weight_g,
    weight_d,
    weight_r,
    bias_g,
    bias_d,
    REACH: tl.constexpr,
    SILU: tl.constexpr,
    BT: tl.constexpr,
    BD: tl.constexpr,
):
    sample, block, scan, channels = place(tl.cdiv(n, BT), scans, BD)
    tokens = block * BT + tl.arange(0, BT)
    back, scan = turned(backwards, scan), scan.to(tl.int64)
    start = sample * x_b + scan * x_g
    total = channel_row(bias, scan * bias_g, bias_d, channels, d)
    for r in tl.static_range(REACH):
        distance = REACH - 1 - r
        there = tokens + tl.where(back, distance, -distance)
        tap = channel_row(weight, scan * weight_g + r * weight_r, weight_d, channels, d)
        total += tap * token_rows(x, start, x_n, there, n, channels, d)
    if SILU:
        total *= sigmoid(total)
    at = ((sample * scans + scan) * n + tokens)[:, None] * d + channels[None, :]
    mask = (tokens < n)[:, None] & (channels < d)[None, :]
    tl.store(out + at, total.to(out.dtype.element_ty), mask=mask)


def forward(x: Tensor, weight: Tensor, bias: Tensor, backwards: list[bool], silu: bool) -> Tensor:
    """As `reference.forward`."""
    (b, k, n, d), g = x.shape, len(weight)
    x, out = channels_together(x), x.new_empty((b, g, n, d))
    fixed = forward_tile(d)
    grid = (b * triton.cdiv(n, fixed["BT"]) * g, triton.cdiv(d, fixed["BD"]))
    scan_step = x.stride(1) if k > 1 else 0
    conv_kernel[grid](
        *(x, weight, bias, out, n, d, g, marks(backwards)),
        *(x.stride(0), scan_step, x.stride(2), *weight.stride(), *bias.stride()),
        **fixed,
        REACH=weight.shape[2],
        SILU=silu,
    )
    return out


def channels_together(x: Tensor) -> Tensor:
    """The same numbers with those of a token side by side."""
    return x if x.stride(3) == 1 else x.contiguous()


def marks(backwards: list[bool]) -> int:
    """One bit per scan, set where it reads from the last token."""
    return sum(1 << scan for scan, back in enumerate(backwards) if back)
