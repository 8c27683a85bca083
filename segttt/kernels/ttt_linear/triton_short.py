"""TTT-Linear on a GPU over short sequences, forward: one program does all there is to do."""

from typing import no_type_check

import triton
import triton.language as tl

from segttt.kernels.ttt_linear.triton_math import (
    is_seen,
    load_each,
    load_row,
    load_rows,
    load_square,
    norm_backward,
    normalise,
    place,
    product,
    scaled_error,
    similarity,
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
