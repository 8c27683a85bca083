"""TTT-MLP on a GPU, backward: what the outputs ask of queries. One program per block of them."""

from typing import no_type_check

import triton
import triton.language as tl

from segttt.kernels.ttt_mlp.triton_math import (
    dot,
    gelu_and_slope,
    normalise,
    project,
    reading,
    steps,
    this_program,
    tokens_of,
)
from segttt.kernels.ttt_mlp.triton_tiles import (
    load_bias,
    load_rows,
    load_tile,
    load_tokens,
    store_bias,
    store_rows,
    store_tokens,
)


@triton.jit(do_not_specialize=["n", "h", "t", "begin", "count"])
@no_type_check
def queries_backward_kernel(
    d_out,
    k,
    lr,
    rho,
    gamma,
    ways,
    first,
    second,
    slope2,
    features,
    slope1,
    hidden,
    alike1,
    alike2,
    d_answer,
    d_hidden,
    d_mixing1,
    d_mixing2,
    d_q,
    d_rho,
    d_norm,
    n,
    h,
    t,
    eps,
    begin,
    count,
    D: tl.constexpr,
    W: tl.constexpr,
    BT: tl.constexpr,
    BD: tl.constexpr,
    BW: tl.constexpr,
    BLOCKS: tl.constexpr,
    CAUSAL: tl.constexpr,
    TURNED: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Back through `answer_kernel`, to the queries; its arguments are as there.

    d_answer [b, h, count, T, D] comes with Z̄2 and takes its gradient; d_hidden [b, h, count, T, W]
    takes that of Z̄1, d_mixing1 and d_mixing2 [b, h, count, T, T] those of M1 and M2. d_rho
    [b, h, count, T] and d_norm [b, h, count, BLOCKS, 2, D], of gamma and of beta, are shares.
    """
    program, index, block = this_program(count, BLOCKS)
    programs = tl.num_programs(0).to(tl.int64) // (count * BLOCKS)
    here = program * count + index
    slot = (index if CAUSAL else index + 1) * programs + program
    first += slot * ((D + 1) * W)
    second += slot * ((W + 1) * D)
    T: tl.constexpr = BLOCKS * BT
    slope2 += here * T * D
    features += here * T * W
    slope1 += here * T * W
    hidden += here * T * W
    alike1 += here * T * T
    alike2 += here * T * T
    d_hidden += here * T * W
    d_mixing1 += here * T * T
    d_mixing2 += here * T * T
    head = program % h
    origin, way = reading(ways, head, n, TURNED)
    batch, row = begin + index, block * BT
    rows = row + tl.arange(0, BT)
    real = (tl.arange(0, BD) < D)[None, :]

    normed, rstd = normalise(load_rows(d_answer + here * T * D, row, 0, T, D, BT, BD), real, eps, D)
    token, exists = tokens_of(rows, batch, n, t, origin, way)
    asked = load_tokens(d_out, program, n, token, exists, D, BD)
    d_norm += (here * BLOCKS + block) * (2 * D)
    store_bias(d_norm, tl.sum(asked * normed, 0), D, D == BD, BD)
    store_bias(d_norm + D, tl.sum(asked, 0), D, D == BD, BD)
    scale = load_bias(gamma + head * D, D, D == BD, BD)[None, :]
    d_after = rstd * project(asked * scale, normed, real, D)
    store_rows(d_answer + here * T * D, d_after, row, 0, T, D, BT, BD)
    scales = tl.load(rho + rows, rows < t, 0.0).to(tl.float32)
    d_scales = tl.zeros((BT,), tl.float32)
    if CAUSAL:
        for other in range(0, row + BT, BT):
            slopes = load_rows(slope2, other, 0, T, D, BT, BD)
            d_mixing = -dot(d_after, tl.trans(slopes), PRECISION)
            store_rows(d_mixing2, d_mixing, row, other, T, T, BT, BT)
        # What one thread has written, others read.
        tl.debug_barrier()

    d_queries = tl.zeros((BT, BD), tl.float32)
    for tile in range(0, W, BW):
        w1, _, w2 = load_tile(first, second, tile, D, W, BD, BW)
        d_before = dot(d_after, tl.trans(w2), PRECISION)
        if CAUSAL:
            for other in range(0, row + BT, BT):
                others = other + tl.arange(0, BT)
                token, exists = tokens_of(others, batch, n, t, origin, way)
                rates = tl.load(lr + program * n + token, exists, 0.0).to(tl.float32)
                d_alike = load_rows(d_mixing2, row, other, T, T, BT, BT)
                d_alike *= steps(rows, scales, others, rates)
                taught = load_rows(features, other, tile, T, W, BT, BW)
                d_before += dot(d_alike, taught, PRECISION)
        _, steepness = gelu_and_slope(load_rows(hidden, row, tile, T, W, BT, BW))
        d_before *= steepness
        store_rows(d_hidden, d_before, row, tile, T, W, BT, BW)
        d_queries += dot(d_before, tl.trans(w1), PRECISION)

    if CAUSAL:
        tl.debug_barrier()
        for other in range(0, row + BT, BT):
            d_mixing = tl.zeros((BT, BT), tl.float32)
            for tile in range(0, W, BW):
                d_before = load_rows(d_hidden, row, tile, T, W, BT, BW)
                slopes = load_rows(slope1, other, tile, T, W, BT, BW)
                d_mixing -= dot(d_before, tl.trans(slopes), PRECISION)
            store_rows(d_mixing1, d_mixing, row, other, T, T, BT, BT)
            others = other + tl.arange(0, BT)
            token, exists = tokens_of(others, batch, n, t, origin, way)
            keys = load_tokens(k, program, n, token, exists, D, BD)
            rates = tl.load(lr + program * n + token, exists, 0.0).to(tl.float32)
            d_alike = d_mixing * steps(rows, scales, others, rates)
            d_queries += dot(d_alike, keys, PRECISION)
            d_mixing *= load_rows(alike1, row, other, T, T, BT, BT)
            d_mixing += load_rows(d_mixing2, row, other, T, T, BT, BT) * load_rows(
                alike2, row, other, T, T, BT, BT
            )
            d_mixing = tl.where(rows[:, None] >= others[None, :], d_mixing, 0.0)
            d_scales += tl.sum(d_mixing * rates[None, :], 1)
        tl.store(d_rho + here * T + rows, d_scales)
    token, exists = tokens_of(rows, batch, n, t, origin, way)
    d_queries += load_tokens(d_out, program, n, token, exists, D, BD)
    store_tokens(d_q, d_queries, program, n, token, exists, D, BD)
