"""TTT-Linear on a GPU, backward: what the answers ask of tokens and states, all at once."""

from typing import no_type_check

import triton
import triton.language as tl

from segttt.kernels.ttt_linear.triton_math import (
    is_seen,
    load_each,
    load_row,
    load_rows,
    load_state,
    mean,
    norm_backward,
    normalise,
    own_sequence,
    place,
    product,
    scaled_error,
    similarity,
    slope_of,
    store_each,
    store_row,
    store_rows,
    store_state,
)


@triton.jit(do_not_specialize=["n", "t", "heads"])
@no_type_check
def inner(
    k,
    v,
    gamma,
    beta,
    turned,
    states,
    normeds,  # [b, h, n, d]
    rstds,  # [b, h, n]
    levels,  # [b, h, n], mean of the scaled error
    alongs,  # [b, h, n], mean of the scaled error times the norm
    n,
    t,
    heads,
    eps,
    D: tl.constexpr,
    BT: tl.constexpr,
    BD: tl.constexpr,
    BLOCKS: tl.constexpr,
    DOT: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """What the inner gradients and their derivatives are made of, from the saved states."""
    chunk, block = tl.program_id(0) // BLOCKS, tl.program_id(0) % BLOCKS
    sequence, sequences = own_sequence()
    head = sequence % heads
    first, way, count = place(sequence, chunk, block, n, t, tl.load(turned + head), BT)
    key = load_rows(k, first, way, count, D, BT, BD)
    value = load_rows(v, first, way, count, D, BT, BD)
    W, b = load_state(states, chunk * sequences + sequence, D, BD)
    scale, shift = load_row(gamma, head, D, BD)[None, :], load_row(beta, head, D, BD)[None, :]
    z = product(key, W, DOT, PRECISION) + b[None, :]
    normed, rstd = normalise(z, eps, D, BD)
    scaled = scaled_error(normed, key, value, scale, shift)
    store_rows(normeds, first, way, count, normed, D, BT, BD)
    store_each(rstds, first, way, count, tl.sum(rstd, 1), BT)
    store_each(levels, first, way, count, tl.sum(mean(scaled, D), 1), BT)
    store_each(alongs, first, way, count, tl.sum(mean(scaled * normed, D), 1), BT)


@triton.jit
@no_type_check
def load_inner(
    memory, k, first, way, count, gamma, beta, D: tl.constexpr, BT: tl.constexpr, BD: tl.constexpr
):
    """Norm, 1 / standard deviation, scaled error and its two means, of keys k [BT, BD].

    `memory` is the values, and what `inner` has written.
    """
    v = load_rows(memory[0], first, way, count, D, BT, BD)
    normed = load_rows(memory[1], first, way, count, D, BT, BD)
    rstd = load_each(memory[2], first, way, count, BT)[:, None]
    level = load_each(memory[3], first, way, count, BT)[:, None]
    along = load_each(memory[4], first, way, count, BT)[:, None]
    return normed, rstd, scaled_error(normed, k, v, gamma, beta), level, along


@triton.jit
@no_type_check
def load_slope(
    memory, k, first, way, count, gamma, beta, D: tl.constexpr, BT: tl.constexpr, BD: tl.constexpr
):
    """The inner gradient of keys k [BT, BD]."""
    normed, rstd, scaled, level, along = load_inner(
        memory, k, first, way, count, gamma, beta, D, BT, BD
    )
    return slope_of(scaled, normed, rstd, level, along, D, BD)


@triton.jit(do_not_specialize=["n", "t", "heads"])
@no_type_check
def queries_backward(
    d_out,
    q,
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
    d_q,
    d_afters,  # [b, h, n, d], written where causal
    d_states,  # [m * BLOCKS, b * h, d + 1, d], of the states that the queries see
    d_rho,  # [b * h, m * BLOCKS, BT], written where causal
    d_norm,  # [m * BLOCKS, b * h, 2, d], of gamma and of beta
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
    """One program for each block of queries: its answers once more, and back through them."""
    chunk, block = tl.program_id(0) // BLOCKS, tl.program_id(0) % BLOCKS
    sequence, sequences = own_sequence()
    head = sequence % heads
    turn = tl.load(turned + head)
    memory = (v, normeds, rstds, levels, alongs)
    scale, shift = load_row(gamma, head, D, BD)[None, :], load_row(beta, head, D, BD)[None, :]
    first, way, count = place(sequence, chunk, block, n, t, turn, BT)
    query = load_rows(q, first, way, count, D, BT, BD)
    W, b = load_state(states, (chunk + 1 - CAUSAL) * sequences + sequence, D, BD)
    z = product(query, W, DOT, PRECISION) + b[None, :]
    rhos = load_each(rho, block * BT, 1, t - block * BT, BT)
    if CAUSAL:
        for other in range(block + 1):
            at, _, there = place(sequence, chunk, other, n, t, turn, BT)
            key = load_rows(k, at, way, there, D, BT, BD)
            slope = load_slope(memory, key, at, way, there, scale, shift, D, BT, BD)
            rates = rhos[:, None] * load_each(lr, at, way, there, BT)[None, :]
            rates = tl.where(is_seen((block - other) * BT, BT), rates, 0.0)
            mixing = rates * similarity(query, key, DOT, PRECISION)
            z -= product(mixing, slope, DOT, PRECISION)
    normed, rstd = normalise(z, eps, D, BD)
    d_query = load_rows(d_out, first, way, count, D, BT, BD)
    index = tl.program_id(0) * sequences + sequence
    store_row(d_norm, index * 2, tl.sum(d_query * normed, 0), D, BD)
    store_row(d_norm, index * 2 + 1, tl.sum(d_query, 0), D, BD)
    d_after = norm_backward(d_query * scale, normed, rstd, D, BD)
    d_W = product(tl.trans(query), d_after, DOT, PRECISION)
    store_state(d_states, index, d_W, tl.sum(d_after, 0), D, BD)
    d_query += product(d_after, tl.trans(W), DOT, PRECISION)
    if CAUSAL:
        store_rows(d_afters, first, way, count, d_after, D, BT, BD)
        d_rhos = tl.zeros([BT], tl.float32)
        for other in range(block + 1):
            at, _, there = place(sequence, chunk, other, n, t, turn, BT)
            key = load_rows(k, at, way, there, D, BT, BD)
            slope = load_slope(memory, key, at, way, there, scale, shift, D, BT, BD)
            rates = load_each(lr, at, way, there, BT)[None, :]
            d_mixing = -product(d_after, tl.trans(slope), DOT, PRECISION)
            d_mixing = tl.where(is_seen((block - other) * BT, BT), d_mixing * rates, 0.0)
            d_rhos += tl.sum(d_mixing * similarity(query, key, DOT, PRECISION), 1)
            d_query += product(rhos[:, None] * d_mixing, key, DOT, PRECISION)
        programs = tl.num_programs(0).to(tl.int64)
        store_each(d_rho, (sequence * programs + tl.program_id(0)) * BT, 1, BT, d_rhos, BT)
    store_rows(d_q, first, way, count, d_query, D, BT, BD)


@triton.jit(do_not_specialize=["n", "t", "heads"])
@no_type_check
def keys_backward(
    q,
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
    d_afters,
    d_slopes,  # [b, h, n, d]
    d_keys,  # [b, h, n, d]
    d_rates,  # [b, h, n]
    n,
    t,
    heads,
    D: tl.constexpr,
    BT: tl.constexpr,
    BD: tl.constexpr,
    BLOCKS: tl.constexpr,
    DOT: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """One program for each block of keys: what later queries of its mini-batch ask of them."""
    chunk, block = tl.program_id(0) // BLOCKS, tl.program_id(0) % BLOCKS
    sequence, _all = own_sequence()
    head = sequence % heads
    turn = tl.load(turned + head)
    memory = (v, normeds, rstds, levels, alongs)
    scale, shift = load_row(gamma, head, D, BD)[None, :], load_row(beta, head, D, BD)[None, :]
    first, way, count = place(sequence, chunk, block, n, t, turn, BT)
    key = load_rows(k, first, way, count, D, BT, BD)
    rates = load_each(lr, first, way, count, BT)[None, :]
    slope = load_slope(memory, key, first, way, count, scale, shift, D, BT, BD)
    d_slope, d_key = tl.zeros([BT, BD], tl.float32), tl.zeros([BT, BD], tl.float32)
    d_rate = tl.zeros([BT], tl.float32)
    for other in range(block, BLOCKS):
        at, _, there = place(sequence, chunk, other, n, t, turn, BT)
        query = load_rows(q, at, way, there, D, BT, BD)
        d_after = load_rows(d_afters, at, way, there, D, BT, BD)
        rhos = load_each(rho, other * BT, 1, t - other * BT, BT)[:, None]
        step = tl.where(is_seen((other - block) * BT, BT), rhos, 0.0)
        alike = step * similarity(query, key, DOT, PRECISION)
        d_slope -= product(tl.trans(alike * rates), d_after, DOT, PRECISION)
        d_mixing = -product(d_after, tl.trans(slope), DOT, PRECISION)
        d_rate += tl.sum(d_mixing * alike, 0)
        d_key += product(tl.trans(d_mixing * step * rates), query, DOT, PRECISION)
    store_rows(d_slopes, first, way, count, d_slope, D, BT, BD)
    store_rows(d_keys, first, way, count, d_key, D, BT, BD)
    store_each(d_rates, first, way, count, d_rate, BT)
