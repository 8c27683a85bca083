"""TTT-Linear on a GPU, the serial chains with the tokens of a mini-batch split over programs.

Each mini-batch is a launch. Its programs add up what those of the one before have left, each for
itself and in the same order, so that all know the state without waiting for each other.
"""

from collections.abc import Iterable
from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from segttt.kernels.ttt_linear.triton_math import (
    load_each,
    load_row,
    load_rows,
    load_square,
    load_state,
    place,
    product,
    slope_backward,
    store_rows,
    store_state,
    update,
)
from segttt.kernels.ttt_linear.triton_outer import load_inner
from segttt.kernels.ttt_linear.triton_tune import Plan


@triton.jit
@no_type_check
def total(
    shares, state, sequence, sequences, D: tl.constexpr, BD: tl.constexpr, BLOCKS: tl.constexpr
):
    """The sum of what the launch before that of `state` has left."""
    W, b = tl.zeros([BD, BD], tl.float32), tl.zeros([BD], tl.float32)
    for block in tl.range(BLOCKS, loop_unroll_factor=4):  # four reads under way at once
        share = (((state + 1) % 2) * BLOCKS + block) * sequences + sequence
        W_more, b_more = load_state(shares, share, D, BD)
        W += W_more
        b += b_more
    return W, b


@triton.jit(do_not_specialize=["state", "n", "t", "heads"])
@no_type_check
def learn_block(
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
    shares,  # [2, BLOCKS, b * h, d + 1, d], of even and of odd states
    state,
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
    """`learn` from state number `state` on, for one mini-batch; none follows on the last state."""
    sequence, block = tl.program_id(0).to(tl.int64), tl.program_id(1)
    sequences = tl.num_programs(0).to(tl.int64)
    head = sequence % heads
    scale, shift = load_row(gamma, head, D, BD)[None, :], load_row(beta, head, D, BD)[None, :]
    first, way, count = place(sequence, state, block, n, t, tl.load(turned + head), BT)
    key = load_rows(k, first, way, count, D, BT, BD)
    value = load_rows(v, first, way, count, D, BT, BD)
    last_rho = tl.load(rho + tl.maximum(tl.minimum(t, n - state * t), 1) - 1).to(tl.float32)
    step = last_rho * load_each(lr, first, way, count, BT)
    if state == 0:
        W, b = load_square(W0, head * D, D, BD), load_row(b0, head, D, BD)
    else:
        W, b = load_state(states, (state - 1) * sequences + sequence, D, BD)
        W_sum, b_sum = total(shares, state, sequence, sequences, D, BD, BLOCKS)
        W -= W_sum
        b -= b_sum
    if block == 0:
        store_state(states, state * sequences + sequence, W, b, D, BD)
    slope, d_W, d_b = update(key, value, step, W, b, scale, shift, eps, D, BD, DOT, PRECISION)
    if CAUSAL:
        store_rows(slopes, first, way, count, slope, D, BT, BD)
    share = ((state % 2) * BLOCKS + block) * sequences + sequence
    store_state(shares, share, d_W, d_b, D, BD)


@triton.jit(do_not_specialize=["state", "n", "t", "heads"])
@no_type_check
def chain_block(
    k,
    v,
    lr,
    rho,
    gamma,
    beta,
    turned,
    normeds,
    rstds,
    levels,
    alongs,
    d_slopes,
    d_states,  # [m, b * h, d + 1, d]
    d_chain,  # [m + 1, b * h, d + 1, d], before each mini-batch and after the last one
    shares,  # [2, BLOCKS, b * h, d + 1, d], of even and of odd states
    state,
    n,
    t,
    heads,
    D: tl.constexpr,
    BT: tl.constexpr,
    BD: tl.constexpr,
    BLOCKS: tl.constexpr,
    CAUSAL: tl.constexpr,
    DOT: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """`chain_backward` from state number `state` on, for the mini-batch before it, if any."""
    sequence, block = tl.program_id(0).to(tl.int64), tl.program_id(1)
    sequences = tl.num_programs(0).to(tl.int64)
    head = sequence % heads
    scale, shift = load_row(gamma, head, D, BD)[None, :], load_row(beta, head, D, BD)[None, :]
    memory = (v, normeds, rstds, levels, alongs)
    chunk, chunks = state - 1, tl.cdiv(n, t)
    first, way, count = place(sequence, chunk, block, n, t, tl.load(turned + head), BT)
    count = tl.where(state == 0, 0, count)
    key = load_rows(k, first, way, count, D, BT, BD)
    rates = load_each(lr, first, way, count, BT)
    normed, rstd, scaled, level, along = load_inner(
        memory, key, first, way, count, scale, shift, D, BT, BD
    )
    asked = load_rows(d_slopes, first, way, count, D, BT, BD) if CAUSAL else 0.0
    last_rho = tl.load(rho + tl.minimum(t, n - chunk * t) - 1).to(tl.float32)
    d_W, d_b = tl.zeros([BD, BD], tl.float32), tl.zeros([BD], tl.float32)
    if state < chunks:
        d_W, d_b = load_state(d_chain, (state + 1) * sequences + sequence, D, BD)
        W_sum, b_sum = total(shares, state, sequence, sequences, D, BD, BLOCKS)
        d_W += W_sum
        d_b += b_sum
    seen = chunk + CAUSAL
    if (seen >= 0) & (seen < chunks):
        W_seen, b_seen = load_state(d_states, seen * sequences + sequence, D, BD)
        d_W += W_seen
        d_b += b_seen
    if block == 0:
        store_state(d_chain, state * sequences + sequence, d_W, d_b, D, BD)
    pull = product(key, d_W, DOT, PRECISION) + d_b[None, :]
    d_slope = asked - (last_rho * rates)[:, None] * pull
    _, d_before = slope_backward(normed, rstd, scaled, level, along, d_slope, scale, D, BD)
    W_more, b_more = product(tl.trans(key), d_before, DOT, PRECISION), tl.sum(d_before, 0)
    share = ((state % 2) * BLOCKS + block) * sequences + sequence
    store_state(shares, share, W_more, b_more, D, BD)


def launch_each(
    kernel: Any,
    tensors: tuple[Tensor, ...],
    order: Iterable[int],
    sizes: tuple[int | float, ...],
    cut: Plan,
    causal: bool,
) -> None:
    """`kernel` for one state after another, in this order.

    The first launch finds or compiles the program, which the others call: to find it again takes
    longer than a mini-batch takes on the GPU.
    """
    name = kernel.fn.__name__
    constants = {"CAUSAL": causal, **cut.constants(name)}
    values = [constants[one] for one in kernel.arg_names if one in constants]
    blocks, d = cut.blocks(name), cut.d
    shares = tensors[0].new_empty((2, blocks, cut.sequences, d + 1, d), dtype=torch.float32)
    grid = (cut.sequences, blocks, 1)
    first, *others = order
    program = kernel[grid](*tensors, shares, first, *sizes, **constants)
    launch = (program or kernel)[grid]  # the interpreter has no program
    for state in others:
        launch(*tensors, shares, state, *sizes, *values)
