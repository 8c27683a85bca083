"""TTT-Linear on a GPU, backward: the serial chain of the states' gradients, and what follows it."""

from typing import no_type_check

import triton
import triton.language as tl

from segttt.kernels.ttt_linear.triton_math import (
    load_each,
    load_row,
    load_rows,
    load_state,
    own_sequence,
    place,
    product,
    slope_backward,
    slope_of,
    store_each,
    store_row,
    store_rows,
    store_state,
)
from segttt.kernels.ttt_linear.triton_outer import load_inner


@triton.jit(do_not_specialize=["n", "t", "heads"])
@no_type_check
def chain_backward(
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
    """One program for each sequence, last mini-batch first, the gradient in registers."""
    sequence = tl.program_id(0).to(tl.int64)
    sequences = tl.num_programs(0).to(tl.int64)
    head = sequence % heads
    turn = tl.load(turned + head)
    scale, shift = load_row(gamma, head, D, BD)[None, :], load_row(beta, head, D, BD)[None, :]
    memory = (v, normeds, rstds, levels, alongs)
    d_W, d_b = tl.zeros([BD, BD], tl.float32), tl.zeros([BD], tl.float32)
    chunks = tl.cdiv(n, t)
    for back in range(chunks):
        chunk = chunks - 1 - back
        last_rho = tl.load(rho + tl.minimum(t, n - chunk * t) - 1).to(tl.float32)
        W_seen, b_seen = load_state(d_states, chunk * sequences + sequence, D, BD)
        if not CAUSAL:
            d_W += W_seen
            d_b += b_seen
        store_state(d_chain, (chunk + 1) * sequences + sequence, d_W, d_b, D, BD)
        if CAUSAL:
            W_sum, b_sum = W_seen, b_seen
        else:
            W_sum, b_sum = tl.zeros([BD, BD], tl.float32), tl.zeros([BD], tl.float32)
        for block in range(BLOCKS):
            first, way, count = place(sequence, chunk, block, n, t, turn, BT)
            key = load_rows(k, first, way, count, D, BT, BD)
            step = (last_rho * load_each(lr, first, way, count, BT))[:, None]
            d_slope = -step * (product(key, d_W, DOT, PRECISION) + d_b[None, :])
            if CAUSAL:
                d_slope += load_rows(d_slopes, first, way, count, D, BT, BD)
            normed, rstd, scaled, level, along = load_inner(
                memory, key, first, way, count, scale, shift, D, BT, BD
            )
            _, d_before = slope_backward(normed, rstd, scaled, level, along, d_slope, scale, D, BD)
            W_sum += product(tl.trans(key), d_before, DOT, PRECISION)
            b_sum += tl.sum(d_before, 0)
        d_W += W_sum
        d_b += b_sum
    store_state(d_chain, sequence, d_W, d_b, D, BD)


@triton.jit(do_not_specialize=["n", "t", "heads"])
@no_type_check
def tokens_backward(
    k,
    v,
    lr,
    rho,
    gamma,
    beta,
    turned,
    states,
    normeds,
    rstds,
    levels,
    alongs,
    d_slopes,
    d_keys,
    d_rates,
    d_chain,
    d_k,
    d_v,
    d_lr,
    d_last,  # [m * BLOCKS, b * h], of rho at each mini-batch's last token
    d_norm,  # [m * BLOCKS, b * h, 2, d], of gamma and of beta
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
    """One program for each block of tokens, once the gradients of all states are known."""
    chunk, block = tl.program_id(0) // BLOCKS, tl.program_id(0) % BLOCKS
    sequence, sequences = own_sequence()
    head = sequence % heads
    scale, shift = load_row(gamma, head, D, BD)[None, :], load_row(beta, head, D, BD)[None, :]
    memory = (v, normeds, rstds, levels, alongs)
    last_rho = tl.load(rho + tl.minimum(t, n - chunk * t) - 1).to(tl.float32)
    first, way, count = place(sequence, chunk, block, n, t, tl.load(turned + head), BT)
    key = load_rows(k, first, way, count, D, BT, BD)
    rates = load_each(lr, first, way, count, BT)
    step = (last_rho * rates)[:, None]
    normed, rstd, scaled, level, along = load_inner(
        memory, key, first, way, count, scale, shift, D, BT, BD
    )
    slope = slope_of(scaled, normed, rstd, level, along, D, BD)
    d_W, d_b = load_state(d_chain, (chunk + 1) * sequences + sequence, D, BD)
    pull = product(key, d_W, DOT, PRECISION) + d_b[None, :]
    d_key = -step * product(slope, tl.trans(d_W), DOT, PRECISION)
    d_slope = -step * pull
    d_rate = -tl.sum(pull * slope, 1)
    index = tl.program_id(0) * sequences + sequence
    tl.store(d_last + index, tl.sum(rates * d_rate, 0))
    d_rate *= last_rho
    if CAUSAL:
        d_slope += load_rows(d_slopes, first, way, count, D, BT, BD)
        d_key += load_rows(d_keys, first, way, count, D, BT, BD)
        d_rate += load_each(d_rates, first, way, count, BT)
    store_each(d_lr, first, way, count, d_rate, BT)
    d_scaled, d_before = slope_backward(normed, rstd, scaled, level, along, d_slope, scale, D, BD)
    d_target = -scale * d_scaled
    store_rows(d_v, first, way, count, d_target, D, BT, BD)
    # The error anew: scaled is gamma times it, and gamma may be 0.
    error = scale * normed + shift - load_rows(v, first, way, count, D, BT, BD) + key
    store_row(d_norm, index * 2, tl.sum(error * d_scaled - normed * d_target, 0), D, BD)
    store_row(d_norm, index * 2 + 1, -tl.sum(d_target, 0), D, BD)
    W, _ = load_state(states, chunk * sequences + sequence, D, BD)
    d_key += product(d_before, tl.trans(W), DOT, PRECISION) - d_target
    store_rows(d_k, first, way, count, d_key, D, BT, BD)
