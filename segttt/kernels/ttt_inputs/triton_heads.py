"""The TTT inputs on a GPU: tokens split into heads, and the gradients of heads joined again.

A program has a block of tokens of one head, in the order of memory, whatever the order of reading.
Where a scan starts to read changes only which row of the table of angles a token takes.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from segttt.kernels.ttt_inputs.reference import Gradients, Inputs, inverse
from segttt.kernels.ttt_inputs.rotary import turns as table
from segttt.kernels.ttt_inputs.triton_tune import constants


@triton.jit
@no_type_check
def here(n, heads, scans, BT: tl.constexpr):
    """Sample, scan, head and tokens of this program."""
    blocks = tl.cdiv(n, BT)
    sequence = tl.program_id(0) // blocks
    tokens = (tl.program_id(0) % blocks) * BT + tl.arange(0, BT)
    scan = (sequence // heads) % scans
    return (sequence // (heads * scans)).to(tl.int64), scan, sequence % heads, tokens


@triton.jit
@no_type_check
def angles(turns, tokens, scan, n, t, backwards, D: tl.constexpr, BD: tl.constexpr):
    """Cosines and sines of the pairs of channels of the tokens, [BT, BD / 2] each."""
    pairs = tl.arange(0, BD // 2)
    mask = (tokens < n)[:, None] & (pairs < D // 2)[None, :]
    back = ((backwards >> scan) & 1) == 1
    position = tl.where(back, n - 1 - tokens, tokens) % t
    at = turns + position[:, None] * (D // 2) + pairs[None, :]
    cos = tl.load(at, mask=mask, other=0.0)
    return cos, tl.load(at + t * (D // 2), mask=mask, other=0.0)


@triton.jit
@no_type_check
def turned(x, cos, sin, BT: tl.constexpr, BD: tl.constexpr):
    """Each pair of channels of x, [BT, BD], turned."""
    even, odd = tl.split(tl.reshape(x.to(tl.float32), [BT, BD // 2, 2]))
    pairs = tl.join(even * cos - odd * sin, even * sin + odd * cos)
    return tl.reshape(pairs, [BT, BD])


@triton.jit
@no_type_check
def load(memory, rows, mask, BD: tl.constexpr):
    at = memory + rows[:, None] + tl.arange(0, BD)[None, :]
    return tl.load(at, mask=mask, other=0.0)


@triton.jit
@no_type_check
def store(memory, rows, x, mask, BD: tl.constexpr):
    at = memory + rows[:, None] + tl.arange(0, BD)[None, :]
    tl.store(at, x.to(memory.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=["n", "t", "heads", "scans", "backwards"])
@no_type_check
def split_kernel(
    q,
    k,
    v,
    rate,
    bias,
    position,
    turns,
    own_q,
    own_k,
    own_v,
    lr,
    rho,
    n,
    t,
    heads,
    scans,
    backwards,
    scale,
    q_b,
    q_g,
    q_n,
    k_b,
    k_g,
    k_n,
    v_b,
    v_g,
    v_n,
    rate_b,
    rate_g,
    rate_n,
    rate_h,
    bias_g,
    bias_h,
    D: tl.constexpr,
    BT: tl.constexpr,
    BD: tl.constexpr,
    BP: tl.constexpr,
):
    """[b, g, n, h * d] with any strides but the last to [b, g * h, n, d], and the rates beside.

    The first program has the position scale, too.
    """
    sample, scan, head, tokens = here(n, heads, scans, BT)
    cos, sin = angles(turns, tokens, scan, n, t, backwards, D, BD)
    mask = (tokens < n)[:, None] & (tl.arange(0, BD) < D)[None, :]
    near, scan = tokens.to(tl.int64), scan.to(tl.int64)
    first = ((sample * scans + scan) * heads + head) * n
    rows = (first + near) * D
    x = load(q, sample * q_b + scan * q_g + near * q_n + head * D, mask, BD)
    store(own_q, rows, turned(x, cos, sin, BT, BD), mask, BD)
    x = load(k, sample * k_b + scan * k_g + near * k_n + head * D, mask, BD)
    store(own_k, rows, turned(x, cos, sin, BT, BD), mask, BD)
    x = load(v, sample * v_b + scan * v_g + near * v_n + head * D, mask, BD)
    store(own_v, rows, x, mask, BD)

    there = tokens < n
    at = sample * rate_b + scan * rate_g + near * rate_n + head.to(tl.int64) * rate_h
    raw = tl.load(rate + at, mask=there, other=0.0).to(tl.float32)
    raw += tl.load(bias + scan * bias_g + head.to(tl.int64) * bias_h).to(tl.float32)
    tl.store(lr + first + near, scale / (1.0 + tl.exp(-raw)), mask=there)
    if tl.program_id(0) == 0:
        for start in range(0, t, BP):
            count = start + tl.arange(0, BP)
            learned = tl.load(position + count, mask=count < t, other=0.0).to(tl.float32)
            tl.store(rho + count, tl.maximum(1.0 / (count + 1) + learned, 0.0), mask=count < t)


@triton.jit(do_not_specialize=["n", "t", "heads", "scans", "backwards"])
@no_type_check
def join_kernel(
    d_q,  # these are [b, g * h, n, d], and contiguous
    d_k,
    d_v,
    d_lr,
    d_rho,
    lr,
    rho,
    turns,
    own_q,  # these are [b, g, n, h * d], and contiguous
    own_k,
    own_v,
    d_rate,
    d_position,
    n,
    t,
    heads,
    scans,
    backwards,
    inverse,
    D: tl.constexpr,
    BT: tl.constexpr,
    BD: tl.constexpr,
    BP: tl.constexpr,
):
    """The gradients of what `split_kernel` reads; `inverse` is that of its scale, or zero."""
    sample, scan, head, tokens = here(n, heads, scans, BT)
    cos, sin = angles(turns, tokens, scan, n, t, backwards, D, BD)
    mask = (tokens < n)[:, None] & (tl.arange(0, BD) < D)[None, :]
    near = tokens.to(tl.int64)
    first = ((sample * scans + scan) * heads + head) * n
    rows = (first + near) * D
    tokens_rows = (((sample * scans + scan) * n + near) * heads + head) * D
    x = turned(load(d_q, rows, mask, BD), cos, -sin, BT, BD)
    store(own_q, tokens_rows, x, mask, BD)
    x = turned(load(d_k, rows, mask, BD), cos, -sin, BT, BD)
    store(own_k, tokens_rows, x, mask, BD)
    store(own_v, tokens_rows, load(d_v, rows, mask, BD), mask, BD)

    there = tokens < n
    rates = tl.load(lr + first + near, mask=there, other=0.0)
    slope = tl.load(d_lr + first + near, mask=there, other=0.0) * rates * (1.0 - rates * inverse)
    at = ((sample * scans + scan) * n + near) * heads + head
    tl.store(d_rate + at, slope, mask=there)
    if tl.program_id(0) == 0:
        for start in range(0, t, BP):
            count = start + tl.arange(0, BP)
            asked = tl.load(d_rho + count, mask=count < t, other=0.0)
            scales = tl.load(rho + count, mask=count < t, other=0.0)
            tl.store(d_position + count, tl.where(scales > 0.0, asked, 0.0), mask=count < t)


def forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    rate: Tensor,
    bias: Tensor,
    position: Tensor,
    scale: float,
    backwards: list[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """As `reference.forward`."""
    (b, g, n, h), t = rate.shape, len(position)
    d = q.shape[3] // h
    q, k, v = (x if x.stride(3) == 1 else x.contiguous() for x in (q, k, v))
    outs = [x.new_empty((b, g * h, n, d)) for x in (q, k, v)]
    lr = rate.new_empty((b, g * h, n), dtype=torch.float32)
    rho = position.new_empty(t, dtype=torch.float32)
    fixed = constants(d)
    split_kernel[(triton.cdiv(n, fixed["BT"]) * b * g * h,)](
        *(q, k, v, rate, bias, position.contiguous(), table(t, d, q.device)),
        *(*outs, lr, rho),
        *(n, t, h, g, _marks(backwards), scale),
        *(stride for x in (q, k, v) for stride in x.stride()[:3]),
        *(*rate.stride(), *bias.stride()),
        **fixed,
    )
    return *outs, lr, rho


def backward(
    grads: Inputs, lr: Tensor, rho: Tensor, scale: float, backwards: list[bool]
) -> Gradients:
    """As `reference.backward`."""
    (b, heads, n, d), g, t = grads.q.shape, len(backwards), len(rho)
    h = heads // g
    asked = [x.contiguous() for x in grads]
    outs = [x.new_empty((b, g, n, h * d)) for x in grads[:3]]
    d_rate, d_position = lr.new_empty((b, g, n, h)), rho.new_empty(t)
    fixed = constants(d)
    join_kernel[(triton.cdiv(n, fixed["BT"]) * b * heads,)](
        *(*asked, lr, rho, table(t, d, lr.device)),
        *(*outs, d_rate, d_position),
        *(n, t, h, g, _marks(backwards), inverse(scale)),
        **fixed,
    )
    return Gradients(*outs, d_rate, d_rate.sum((0, 2)), d_position)


def _marks(backwards: list[bool]) -> int:
    """One bit per scan, set where it reads from the last token."""
    return sum(1 << scan for scan, back in enumerate(backwards) if back)
