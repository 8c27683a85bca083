"""TTT-Linear on a GPU over short sequences: one program does all there is to do for one."""

from typing import no_type_check

import triton
import triton.language as tl

from segttt.kernels.ttt_linear.triton_math import (
    is_seen,
    load_each,
    load_row,
    load_rows,
    load_square,
    load_state,
    mean,
    norm_backward,
    normalise,
    place,
    product,
    scaled_error,
    similarity,
    slope_backward,
    slope_of,
    store_each,
    store_row,
    store_rows,
    store_state,
)


@triton.jit(do_not_specialize=["n", "t", "heads"])
@no_type_check
def short_forward(
    q,
    k,
    v,
    lr,
    rho,
    W0,
    b0,
    gamma,
    beta,
    turned,
    states,  # [m + 1, b * h, d + 1, d], written where KEEP
    out,
    n,
    t,
    heads,
    eps,
    D: tl.constexpr,
    BT: tl.constexpr,
    BD: tl.constexpr,
    CAUSAL: tl.constexpr,
    KEEP: tl.constexpr,
    DOT: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """`learn` and `answer` in one loop, without anything in memory between them."""
    sequence = tl.program_id(0).to(tl.int64)
    sequences = tl.num_programs(0).to(tl.int64)
    head = sequence % heads
    turn = tl.load(turned + head)
    scale, shift = load_row(gamma, head, D, BD)[None, :], load_row(beta, head, D, BD)[None, :]
    W, b = load_square(W0, head * D, D, BD), load_row(b0, head, D, BD)
    rhos = load_each(rho, 0, 1, t, BT)
    for chunk in range(tl.cdiv(n, t)):
        if KEEP:
            store_state(states, chunk * sequences + sequence, W, b, D, BD)
        first, way, count = place(sequence, chunk, 0, n, t, turn, BT)
        key = load_rows(k, first, way, count, D, BT, BD)
        value = load_rows(v, first, way, count, D, BT, BD)
        query = load_rows(q, first, way, count, D, BT, BD)
        rates = load_each(lr, first, way, count, BT)
        last_rho = tl.load(rho + count - 1).to(tl.float32)
        z = product(key, W, DOT, PRECISION) + b[None, :]
        normed, rstd = normalise(z, eps, D, BD)
        slope = norm_backward(scaled_error(normed, key, value, scale, shift), normed, rstd, D, BD)
        if CAUSAL:
            step = tl.where(is_seen(0, BT), rhos[:, None] * rates[None, :], 0.0)
            mixing = step * similarity(query, key, DOT, PRECISION)
            z = product(query, W, DOT, PRECISION) + b[None, :]
            z -= product(mixing, slope, DOT, PRECISION)
        stepped = (last_rho * rates)[:, None] * slope
        W -= product(tl.trans(key), stepped, DOT, PRECISION)
        b -= tl.sum(stepped, 0)
        if not CAUSAL:
            z = product(query, W, DOT, PRECISION) + b[None, :]
        normed, rstd = normalise(z, eps, D, BD)
        store_rows(out, first, way, count, query + scale * normed + shift, D, BT, BD)
    if KEEP:
        store_state(states, tl.cdiv(n, t) * sequences + sequence, W, b, D, BD)


@triton.jit(do_not_specialize=["n", "t", "heads"])
@no_type_check
def short_backward(
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
    d_q,
    d_k,
    d_v,
    d_lr,
    d_states,  # [m, b * h, d + 1, d], of the states that the queries see
    d_rho,  # [b * h, BT]
    d_first,  # [b * h, d + 1, d]
    d_norm,  # [b * h, 2, d], of gamma and of beta
    n,
    t,
    heads,
    eps,
    D: tl.constexpr,
    BT: tl.constexpr,
    BD: tl.constexpr,
    CAUSAL: tl.constexpr,
    DOT: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """First what the answers ask, then back through the states; d_k, d_v and d_lr hold the first
    half's results until the second has read them.

    Both in one loop want more registers than there are.
    """
    sequence = tl.program_id(0).to(tl.int64)
    sequences = tl.num_programs(0).to(tl.int64)
    head = sequence % heads
    turn = tl.load(turned + head)
    scale, shift = load_row(gamma, head, D, BD)[None, :], load_row(beta, head, D, BD)[None, :]
    rhos = load_each(rho, 0, 1, t, BT)
    d_rhos = tl.zeros([BT], tl.float32)
    d_scale, d_shift = tl.zeros([BD], tl.float32), tl.zeros([BD], tl.float32)
    chunks = tl.cdiv(n, t)
    for chunk in range(chunks):
        first, way, count = place(sequence, chunk, 0, n, t, turn, BT)
        query = load_rows(q, first, way, count, D, BT, BD)
        W, b = load_state(states, (chunk + 1 - CAUSAL) * sequences + sequence, D, BD)
        z = product(query, W, DOT, PRECISION) + b[None, :]
        if CAUSAL:
            key = load_rows(k, first, way, count, D, BT, BD)
            value = load_rows(v, first, way, count, D, BT, BD)
            rates = load_each(lr, first, way, count, BT)
            at_keys = product(key, W, DOT, PRECISION) + b[None, :]
            normed, rstd = normalise(at_keys, eps, D, BD)
            scaled = scaled_error(normed, key, value, scale, shift)
            slope = norm_backward(scaled, normed, rstd, D, BD)
            step = tl.where(is_seen(0, BT), rhos[:, None] * rates[None, :], 0.0)
            mixing = step * similarity(query, key, DOT, PRECISION)
            z -= product(mixing, slope, DOT, PRECISION)
        normed, rstd = normalise(z, eps, D, BD)
        d_query = load_rows(d_out, first, way, count, D, BT, BD)
        d_scale += tl.sum(d_query * normed, 0)
        d_shift += tl.sum(d_query, 0)
        d_after = norm_backward(d_query * scale, normed, rstd, D, BD)
        d_seen = product(tl.trans(query), d_after, DOT, PRECISION)
        store_state(d_states, chunk * sequences + sequence, d_seen, tl.sum(d_after, 0), D, BD)
        d_query += product(d_after, tl.trans(W), DOT, PRECISION)
        if CAUSAL:
            d_slope = -product(tl.trans(mixing), d_after, DOT, PRECISION)
            store_rows(d_v, first, way, count, d_slope, D, BT, BD)
            d_mixing = -product(d_after, tl.trans(slope), DOT, PRECISION)
            d_alike = d_mixing * step
            d_query += product(d_alike, key, DOT, PRECISION)
            d_key = product(tl.trans(d_alike), query, DOT, PRECISION)
            store_rows(d_k, first, way, count, d_key, D, BT, BD)
            d_step = tl.where(
                is_seen(0, BT), d_mixing * similarity(query, key, DOT, PRECISION), 0.0
            )
            d_rhos += tl.sum(d_step * rates[None, :], 1)
            store_each(d_lr, first, way, count, tl.sum(d_step * rhos[:, None], 0), BT)
        store_rows(d_q, first, way, count, d_query, D, BT, BD)
    tl.debug_barrier()

    d_W, d_b = tl.zeros([BD, BD], tl.float32), tl.zeros([BD], tl.float32)
    for back in range(chunks):
        chunk = chunks - 1 - back
        first, way, count = place(sequence, chunk, 0, n, t, turn, BT)
        last_rho = tl.load(rho + count - 1).to(tl.float32)
        W_seen, b_seen = load_state(d_states, chunk * sequences + sequence, D, BD)
        if not CAUSAL:
            d_W += W_seen
            d_b += b_seen
        key = load_rows(k, first, way, count, D, BT, BD)
        value = load_rows(v, first, way, count, D, BT, BD)
        rates = load_each(lr, first, way, count, BT)
        W, b = load_state(states, chunk * sequences + sequence, D, BD)
        z = product(key, W, DOT, PRECISION) + b[None, :]
        normed, rstd = normalise(z, eps, D, BD)
        scaled = scaled_error(normed, key, value, scale, shift)
        level, along = mean(scaled, D), mean(scaled * normed, D)
        slope = slope_of(scaled, normed, rstd, level, along, D, BD)
        pull = product(key, d_W, DOT, PRECISION) + d_b[None, :]
        step = (last_rho * rates)[:, None]
        d_slope = -step * pull
        d_key = -step * product(slope, tl.trans(d_W), DOT, PRECISION)
        d_rate = -tl.sum(pull * slope, 1)
        is_last = tl.arange(0, BT) == count - 1
        d_rhos += tl.where(is_last, tl.sum(rates * d_rate, 0), 0.0)
        d_rate *= last_rho
        if CAUSAL:
            d_slope += load_rows(d_v, first, way, count, D, BT, BD)
            d_key += load_rows(d_k, first, way, count, D, BT, BD)
            d_rate += load_each(d_lr, first, way, count, BT)
            tl.debug_barrier()
        store_each(d_lr, first, way, count, d_rate, BT)
        d_scaled, d_before = slope_backward(
            normed, rstd, scaled, level, along, d_slope, scale, D, BD
        )
        d_target = -scale * d_scaled
        store_rows(d_v, first, way, count, d_target, D, BT, BD)
        error = scale * normed + shift - value + key
        d_scale += tl.sum(error * d_scaled - normed * d_target, 0)
        d_shift -= tl.sum(d_target, 0)
        d_key += product(d_before, tl.trans(W), DOT, PRECISION) - d_target
        store_rows(d_k, first, way, count, d_key, D, BT, BD)
        d_W += product(tl.trans(key), d_before, DOT, PRECISION)
        d_b += tl.sum(d_before, 0)
        if CAUSAL:
            d_W += W_seen
            d_b += b_seen
    store_state(d_first, sequence, d_W, d_b, D, BD)
    store_row(d_norm, sequence * 2, d_scale, D, BD)
    store_row(d_norm, sequence * 2 + 1, d_shift, D, BD)
    store_each(d_rho, sequence * BT, 1, BT, d_rhos, BT)
