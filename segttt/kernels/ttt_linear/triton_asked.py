"""TTT-Linear on a GPU, backward: what the answers ask, where a mini-batch is one block."""

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
def answers_backward(
    d_out,
    states,
    q,
    k,
    v,
    lr,
    rho,
    gamma,
    beta,
    turned,
    normeds,  # [b, h, n, d]
    rstds,  # [b, h, n]
    levels,  # [b, h, n]
    alongs,  # [b, h, n]
    d_q,
    d_slopes,  # [b, h, n, d]
    d_keys,  # [b, h, n, d]
    d_rates,  # [b, h, n]
    d_rho,  # [b * h, m, BT]
    d_states,  # [m, b * h, d + 1, d], of the states that the queries see
    d_norm,  # [m, b * h, 2, d], of gamma and of beta
    n,
    t,
    heads,
    eps,
    D: tl.constexpr,
    BT: tl.constexpr,
    BD: tl.constexpr,
    DOT: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """`inner`, `queries_backward` and `keys_backward` at once, where causal.

    One program for each mini-batch, which is one block.
    """
    chunk = tl.program_id(0)
    sequence, sequences = own_sequence()
    share = chunk * sequences + sequence
    head = sequence % heads
    scale, shift = load_row(gamma, head, D, BD)[None, :], load_row(beta, head, D, BD)[None, :]
    first, way, count = place(sequence, chunk, 0, n, t, tl.load(turned + head), BT)
    W, b = load_state(states, share, D, BD)
    key = load_rows(k, first, way, count, D, BT, BD)
    value = load_rows(v, first, way, count, D, BT, BD)
    normed, rstd = normalise(product(key, W, DOT, PRECISION) + b[None, :], eps, D, BD)
    scaled = scaled_error(normed, key, value, scale, shift)
    level, along = mean(scaled, D), mean(scaled * normed, D)
    store_rows(normeds, first, way, count, normed, D, BT, BD)
    store_each(rstds, first, way, count, tl.sum(rstd, 1), BT)
    store_each(levels, first, way, count, tl.sum(level, 1), BT)
    store_each(alongs, first, way, count, tl.sum(along, 1), BT)
    slope = slope_of(scaled, normed, rstd, level, along, D, BD)

    rhos = load_each(rho, 0, 1, t, BT)
    rates = load_each(lr, first, way, count, BT)
    step = tl.where(is_seen(0, BT), rhos[:, None] * rates[None, :], 0.0)
    query = load_rows(q, first, way, count, D, BT, BD)
    mixing = step * similarity(query, key, DOT, PRECISION)
    z = product(query, W, DOT, PRECISION) + b[None, :] - product(mixing, slope, DOT, PRECISION)
    normed, rstd = normalise(z, eps, D, BD)
    d_query = load_rows(d_out, first, way, count, D, BT, BD)
    store_row(d_norm, share * 2, tl.sum(d_query * normed, 0), D, BD)
    store_row(d_norm, share * 2 + 1, tl.sum(d_query, 0), D, BD)
    d_after = norm_backward(d_query * scale, normed, rstd, D, BD)
    d_W = product(tl.trans(query), d_after, DOT, PRECISION)
    store_state(d_states, share, d_W, tl.sum(d_after, 0), D, BD)
    d_query += product(d_after, tl.trans(W), DOT, PRECISION)
    d_slope = -product(tl.trans(mixing), d_after, DOT, PRECISION)
    store_rows(d_slopes, first, way, count, d_slope, D, BT, BD)
    d_mixing = -product(d_after, tl.trans(slope), DOT, PRECISION)
    d_alike = d_mixing * step
    d_query += product(d_alike, key, DOT, PRECISION)
    store_rows(d_q, first, way, count, d_query, D, BT, BD)
    d_key = product(tl.trans(d_alike), query, DOT, PRECISION)
    store_rows(d_keys, first, way, count, d_key, D, BT, BD)
    d_step = d_mixing * similarity(query, key, DOT, PRECISION)
    d_step = tl.where(is_seen(0, BT), d_step, 0.0)
    store_each(d_rates, first, way, count, tl.sum(d_step * rhos[:, None], 0), BT)
    at = sequence * tl.num_programs(0).to(tl.int64) + chunk
    store_each(d_rho, at * BT, 1, BT, tl.sum(d_step * rates[None, :], 1), BT)
