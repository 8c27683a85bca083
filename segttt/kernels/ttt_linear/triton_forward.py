"""TTT-Linear on a GPU, forward: the serial chain of states, and the answers, all at once."""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from segttt.kernels.ttt_linear.triton_losses import losses
from segttt.kernels.ttt_linear.triton_math import (
    is_seen,
    load_each,
    load_row,
    load_rows,
    load_square,
    load_state,
    normalise,
    own_sequence,
    place,
    product,
    similarity,
    store_rows,
    store_state,
    update,
)
from segttt.kernels.ttt_linear.triton_short import short_forward
from segttt.kernels.ttt_linear.triton_split import launch_each, learn_block
from segttt.kernels.ttt_linear.triton_tune import Plan, plan, turned_heads


@triton.jit(do_not_specialize=["n", "t", "heads"])
@no_type_check
def learn(
    k,
    v,
    lr,
    rho,
    W0,
    b0,
    gamma,
    beta,
    turned,
    states,  # [m + 1, b * h, d + 1, d], before each mini-batch and after the last one
    slopes,  # [b, h, n, d], written where causal
    n,
    t,
    heads,
    eps,
    D: tl.constexpr,
    BT: tl.constexpr,
    BD: tl.constexpr,
    BLOCKS: tl.constexpr,
    CAUSAL: tl.constexpr,
    DOT: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """One program for each sequence: mini-batch after mini-batch, the state in registers."""
    sequence = tl.program_id(0).to(tl.int64)
    sequences = tl.num_programs(0).to(tl.int64)
    head = sequence % heads
    turn = tl.load(turned + head)
    scale, shift = load_row(gamma, head, D, BD)[None, :], load_row(beta, head, D, BD)[None, :]
    W, b = load_square(W0, head * D, D, BD), load_row(b0, head, D, BD)
    for chunk in range(tl.cdiv(n, t)):
        last_rho = tl.load(rho + tl.minimum(t, n - chunk * t) - 1).to(tl.float32)
        store_state(states, chunk * sequences + sequence, W, b, D, BD)
        W_sum, b_sum = tl.zeros([BD, BD], tl.float32), tl.zeros([BD], tl.float32)
        for block in range(BLOCKS):
            first, way, count = place(sequence, chunk, block, n, t, turn, BT)
            key = load_rows(k, first, way, count, D, BT, BD)
            value = load_rows(v, first, way, count, D, BT, BD)
            step = last_rho * load_each(lr, first, way, count, BT)
            slope, d_W, d_b = update(
                key, value, step, W, b, scale, shift, eps, D, BD, DOT, PRECISION
            )
            if CAUSAL:
                store_rows(slopes, first, way, count, slope, D, BT, BD)
            W_sum += d_W
            b_sum += d_b
        W -= W_sum
        b -= b_sum
    store_state(states, tl.cdiv(n, t) * sequences + sequence, W, b, D, BD)


@triton.jit(do_not_specialize=["n", "t", "heads"])
@no_type_check
def answer(
    q,
    k,
    lr,
    rho,
    gamma,
    beta,
    turned,
    states,
    slopes,
    out,
    n,
    t,
    heads,
    eps,
    D: tl.constexpr,
    BT: tl.constexpr,
    BD: tl.constexpr,
    BLOCKS: tl.constexpr,
    CAUSAL: tl.constexpr,
    DOT: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """One program for each block of queries."""
    chunk, block = tl.program_id(0) // BLOCKS, tl.program_id(0) % BLOCKS
    sequence, sequences = own_sequence()
    head = sequence % heads
    turn = tl.load(turned + head)
    first, way, count = place(sequence, chunk, block, n, t, turn, BT)
    query = load_rows(q, first, way, count, D, BT, BD)
    W, b = load_state(states, (chunk + 1 - CAUSAL) * sequences + sequence, D, BD)
    z = product(query, W, DOT, PRECISION) + b[None, :]
    if CAUSAL:
        here_rho = load_each(rho, block * BT, 1, t - block * BT, BT)
        for other in range(block + 1):
            at, _, there = place(sequence, chunk, other, n, t, turn, BT)
            key = load_rows(k, at, way, there, D, BT, BD)
            slope = load_rows(slopes, at, way, there, D, BT, BD)
            rates = here_rho[:, None] * load_each(lr, at, way, there, BT)[None, :]
            rates = tl.where(is_seen((block - other) * BT, BT), rates, 0.0)
            mixing = rates * similarity(query, key, DOT, PRECISION)
            z -= product(mixing, slope, DOT, PRECISION)
    normed, _ = normalise(z, eps, D, BD)
    scale, shift = load_row(gamma, head, D, BD)[None, :], load_row(beta, head, D, BD)[None, :]
    store_rows(out, first, way, count, query + scale * normed + shift, D, BT, BD)


def forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lr: Tensor,
    rho: Tensor,
    W0: Tensor,
    b0: Tensor,
    gamma: Tensor,
    beta: Tensor,
    eps: float,
    *,
    causal: bool = True,
    backwards: list[bool] | None = None,
    keep: bool = True,
    measure: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """The output, and the states and losses where asked for, as the operator returns them."""
    q, k, v, lr, rho, W0, b0, gamma, beta = (
        one.contiguous() for one in (q, k, v, lr, rho, W0, b0, gamma, beta)
    )
    b, h, n, d = q.shape
    t = min(n, len(rho))
    m = triton.cdiv(n, t)
    cut = plan(q, t)
    turned = turned_heads(backwards, h, q.device)
    sizes = (n, t, h, eps)
    out = q.new_empty(q.shape)
    room = m + 1 if keep or measure or not cut.short else 0
    states = q.new_empty((room, b, h, d + 1, d), dtype=torch.float32)
    if cut.short:
        tensors = (q, k, v, lr, rho, W0, b0, gamma, beta, turned, states, out)
        short_forward[(b * h,)](
            *tensors, *sizes, CAUSAL=causal, KEEP=keep or measure, **cut.constants("short_forward")
        )
    else:
        # Only ever multiplied, so as narrow as the operands of products.
        kind = q.dtype if cut.kind == "bf16" else torch.float32
        slopes = q.new_empty(q.shape if causal else 0, dtype=kind)
        tensors = (k, v, lr, rho, W0, b0, gamma, beta, turned, states, slopes)
        if cut.split:
            launch_each(learn_block, tensors, range(m + 1), sizes, cut, causal)
        else:
            learn[(b * h,)](*tensors, *sizes, CAUSAL=causal, **cut.constants("learn"))
        answer[(m * cut.blocks("answer"), h, b)](
            *(q, k, lr, rho, gamma, beta, turned, states, slopes, out),
            *sizes,
            CAUSAL=causal,
            **cut.constants("answer"),
        )
    found = _losses(k, v, gamma, beta, turned, states, t, eps, cut) if measure else None
    kept = states[: m + (not causal)] if keep else states.new_empty(0)
    return out, kept, states.new_empty(0) if found is None else found


def _losses(
    k: Tensor,
    v: Tensor,
    gamma: Tensor,
    beta: Tensor,
    turned: Tensor,
    states: Tensor,
    t: int,
    eps: float,
    cut: Plan,
) -> Tensor:
    b, h, n, _ = k.shape
    m = len(states) - 1
    blocks = cut.blocks("losses")
    sums = states.new_empty(m, blocks, b, h, 2)
    losses[(m * blocks, h, b)](
        *(k, v, gamma, beta, turned, states, sums), n, t, h, eps, **cut.constants("losses")
    )
    tokens = torch.full((m, 1, 1, 1), t, device=k.device)
    tokens[-1] = n - (m - 1) * t
    return (sums.sum(1) / tokens).movedim(0, 2).contiguous()
