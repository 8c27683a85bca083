"""TTT-MLP on a GPU: the gradients that its outputs alone ask for. As many programs as outputs."""

from typing import no_type_check

import triton
import triton.language as tl

from segttt.kernels.ttt_mlp.triton_math import (
    dot,
    gelu,
    gelu_and_slope,
    inner_loss,
    normalise,
    project,
    reading,
    steps,
    tokens_of,
)
from segttt.kernels.ttt_mlp.triton_tiles import (
    load_bias,
    load_rows,
    load_tile,
    store_bias,
    store_rows,
    store_tile,
)


@triton.jit(do_not_specialize=["n", "h", "t", "begin", "count"])
@no_type_check
def mixed_backward_kernel(
    q,
    k,
    v,
    lr,
    rho,
    gamma,
    beta,
    ways,
    first,
    second,
    d_out,
    d_q,
    d_k,
    d_lr,
    d_rho,
    d_gamma,
    d_beta,
    z2,
    d_features,
    d_slope1,
    d_slope2,
    d_first,
    d_second,
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
    TURNED: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """The backward pass of the causal `answer_kernel`.

    d_q, d_k [b, h, n, D] and d_lr [b, h, n] are at the tokens. The rest is for each of the `count`
    mini-batches, with b, h before it: shares of d_rho [t], d_gamma and d_beta [D]; what the inner
    model says to the keys, z2 [t, D]; and the gradients, as far as the outputs alone ask for them,
    d_features and d_slope1 [t, W], d_slope2 [t, D], d_first [D + 1, W], d_second [W + 1, D].
    """
    program, index = (tl.program_id(0) // count).to(tl.int64), tl.program_id(0) % count
    programs = tl.num_programs(0).to(tl.int64) // count
    batch, here = begin + index, tl.program_id(0).to(tl.int64)
    first += (index * programs + program) * ((D + 1) * W)
    second += (index * programs + program) * ((W + 1) * D)
    d_first += here * ((D + 1) * W)
    d_second += here * ((W + 1) * D)
    d_features += here * t * W
    d_slope1 += here * t * W
    rows, columns = tl.arange(0, BT), tl.arange(0, BD)
    real = (columns < D)[None, :]
    head = program % h
    scale = tl.load(gamma + head * D + columns, columns < D, 0.0).to(tl.float32)[None, :]
    shift = tl.load(beta + head * D + columns, columns < D, 0.0).to(tl.float32)[None, :]
    origin, way = reading(ways, head, n, TURNED)
    token, exists = tokens_of(rows, batch, n, t, origin, way)
    at = (program * n + token[:, None]) * D + columns[None, :]
    mask = exists[:, None] & real
    queries = tl.load(q + at, mask, 0.0).to(tl.float32)
    keys = tl.load(k + at, mask, 0.0).to(tl.float32)
    target = tl.load(v + at, mask, 0.0).to(tl.float32) - keys
    rate = tl.load(lr + program * n + token, exists, 0.0).to(tl.float32)
    c2 = load_bias(second, D, W, BD)

    inner = tl.zeros((BT, BD), tl.float32) + c2[None, :]
    for tile in range(0, W, BW):
        w1, c1, w2 = load_tile(first, second, tile, D, W, BD, BW)
        inner += dot(gelu(dot(keys, w1, PRECISION) + c1[None, :]), w2, PRECISION)
    store_rows(z2 + here * t * D, inner, 0, t, D, BT, BD)
    _, _, _, slope = inner_loss(inner, target, scale, shift, real, eps, D)

    step = steps(rows, rho, rate, t)
    mixing = step * (dot(queries, tl.trans(keys), PRECISION) + 1)
    answer = tl.zeros((BT, BD), tl.float32) + c2[None, :]
    similarity = tl.full((BT, BT), 1.0, tl.float32)
    for tile in range(0, W, BW):
        w1, c1, w2 = load_tile(first, second, tile, D, W, BD, BW)
        features, steepness = gelu_and_slope(dot(keys, w1, PRECISION) + c1[None, :])
        slope1 = dot(slope, tl.trans(w2), PRECISION) * steepness
        hidden = dot(queries, w1, PRECISION) + c1[None, :]
        outer = gelu(hidden - dot(mixing, slope1, PRECISION))
        answer += dot(outer, w2, PRECISION)
        similarity += dot(outer, tl.trans(features), PRECISION)
    mixing2 = step * similarity
    answer -= dot(mixing2, slope, PRECISION)

    normed, rstd = normalise(answer, real, eps, D)
    asked = tl.load(d_out + at, mask, 0.0).to(tl.float32)
    tl.store(d_gamma + here * D + columns, tl.sum(asked * normed, 0), columns < D)
    tl.store(d_beta + here * D + columns, tl.sum(asked, 0), columns < D)
    d_answer = rstd * project(asked * scale, normed, real, D)
    store_bias(d_second, tl.sum(d_answer, 0), D, W, BD)
    d_mixing2 = -dot(d_answer, tl.trans(slope), PRECISION)
    d_similarity = d_mixing2 * step
    store_rows(
        d_slope2 + here * t * D, -dot(tl.trans(mixing2), d_answer, PRECISION), 0, t, D, BT, BD
    )
    d_step = tl.where(rows[:, None] >= rows[None, :], d_mixing2 * similarity, 0.0)
    scales = tl.load(rho + rows, rows < t, 0.0).to(tl.float32)
    d_rate = tl.sum(scales[:, None] * d_step, 0)
    d_scales = tl.sum(rate[None, :] * d_step, 1)

    d_queries, d_mixing = asked, tl.zeros((BT, BT), tl.float32)
    for tile in range(0, W, BW):
        w1, c1, w2 = load_tile(first, second, tile, D, W, BD, BW)
        features, steepness = gelu_and_slope(dot(keys, w1, PRECISION) + c1[None, :])
        slope1 = dot(slope, tl.trans(w2), PRECISION) * steepness
        hidden = dot(queries, w1, PRECISION) + c1[None, :] - dot(mixing, slope1, PRECISION)
        outer, steepness = gelu_and_slope(hidden)
        d_hidden = dot(d_answer, tl.trans(w2), PRECISION) + dot(d_similarity, features, PRECISION)
        d_hidden *= steepness
        d_mixing -= dot(d_hidden, tl.trans(slope1), PRECISION)
        d_queries += dot(d_hidden, tl.trans(w1), PRECISION)
        store_rows(d_slope1, d_hidden, tile, t, W, BT, BW)
        store_rows(d_features, outer, tile, t, W, BT, BW)
        d_w1 = dot(tl.trans(queries), d_hidden, PRECISION)
        d_w2 = dot(tl.trans(outer), d_answer, PRECISION)
        store_tile(d_first, d_second, tile, d_w1, tl.sum(d_hidden, 0), d_w2, D, W, BD, BW)

    # What one thread has written above, others read. In a loop of its own, for two t x t matrices
    # at a time are what the registers hold.
    tl.debug_barrier()
    for tile in range(0, W, BW):
        d_hidden = load_rows(d_slope1, tile, t, W, BT, BW)
        outer = load_rows(d_features, tile, t, W, BT, BW)
        store_rows(d_slope1, -dot(tl.trans(mixing), d_hidden, PRECISION), tile, t, W, BT, BW)
        d_inner = dot(tl.trans(d_similarity), outer, PRECISION)
        store_rows(d_features, d_inner, tile, t, W, BT, BW)

    # Read again, since registers were short while the tiles were gone through.
    queries = tl.load(q + at, mask, 0.0).to(tl.float32)
    keys = tl.load(k + at, mask, 0.0).to(tl.float32)
    rate = tl.load(lr + program * n + token, exists, 0.0).to(tl.float32)
    scales = tl.load(rho + rows, rows < t, 0.0).to(tl.float32)
    similarity = dot(queries, tl.trans(keys), PRECISION) + 1
    d_step = tl.where(rows[:, None] >= rows[None, :], d_mixing * similarity, 0.0)
    tl.store(d_lr + program * n + token, d_rate + tl.sum(scales[:, None] * d_step, 0), exists)
    tl.store(d_rho + here * t + rows, d_scales + tl.sum(rate[None, :] * d_step, 1), rows < t)
    d_mixing *= steps(rows, rho, rate, t)
    tl.store(d_q + at, d_queries + dot(d_mixing, keys, PRECISION), mask)
    tl.store(d_k + at, dot(tl.trans(d_mixing), queries, PRECISION), mask)


@triton.jit(do_not_specialize=["n", "h", "t", "begin", "count"])
@no_type_check
def direct_backward_kernel(
    q,
    k,
    gamma,
    beta,
    ways,
    first,
    second,
    d_out,
    d_q,
    d_gamma,
    d_beta,
    z2,
    d_first,
    d_second,
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
    TURNED: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """The backward pass of the `answer_kernel` that is not causal; arguments as above, z2 too."""
    program, index = (tl.program_id(0) // count).to(tl.int64), tl.program_id(0) % count
    programs = tl.num_programs(0).to(tl.int64) // count
    batch, here = begin + index, tl.program_id(0).to(tl.int64)
    first += (index * programs + program) * ((D + 1) * W)
    second += (index * programs + program) * ((W + 1) * D)
    d_first += here * ((D + 1) * W)
    d_second += here * ((W + 1) * D)
    rows, columns = tl.arange(0, BT), tl.arange(0, BD)
    real = (columns < D)[None, :]
    head = program % h
    scale = tl.load(gamma + head * D + columns, columns < D, 0.0).to(tl.float32)[None, :]
    origin, way = reading(ways, head, n, TURNED)
    token, exists = tokens_of(rows, batch, n, t, origin, way)
    at = (program * n + token[:, None]) * D + columns[None, :]
    mask = exists[:, None] & real
    queries = tl.load(q + at, mask, 0.0).to(tl.float32)

    keys = tl.load(k + at, mask, 0.0).to(tl.float32)

    inner = tl.zeros((BT, BD), tl.float32) + load_bias(second, D, W, BD)[None, :]
    for tile in range(0, W, BW):
        w1, c1, w2 = load_tile(first, second, tile, D, W, BD, BW)
        inner += dot(gelu(dot(keys, w1, PRECISION) + c1[None, :]), w2, PRECISION)
    store_rows(z2 + here * t * D, inner, 0, t, D, BT, BD)

    first += programs * ((D + 1) * W)
    second += programs * ((W + 1) * D)
    answer = tl.zeros((BT, BD), tl.float32) + load_bias(second, D, W, BD)[None, :]
    for tile in range(0, W, BW):
        w1, c1, w2 = load_tile(first, second, tile, D, W, BD, BW)
        answer += dot(gelu(dot(queries, w1, PRECISION) + c1[None, :]), w2, PRECISION)
    normed, rstd = normalise(answer, real, eps, D)
    asked = tl.load(d_out + at, mask, 0.0).to(tl.float32)
    tl.store(d_gamma + here * D + columns, tl.sum(asked * normed, 0), columns < D)
    tl.store(d_beta + here * D + columns, tl.sum(asked, 0), columns < D)
    d_answer = rstd * project(asked * scale, normed, real, D)
    store_bias(d_second, tl.sum(d_answer, 0), D, W, BD)

    d_queries = asked
    for tile in range(0, W, BW):
        w1, c1, w2 = load_tile(first, second, tile, D, W, BD, BW)
        outer, steepness = gelu_and_slope(dot(queries, w1, PRECISION) + c1[None, :])
        d_hidden = dot(d_answer, tl.trans(w2), PRECISION) * steepness
        d_queries += dot(d_hidden, tl.trans(w1), PRECISION)
        d_w1 = dot(tl.trans(queries), d_hidden, PRECISION)
        d_w2 = dot(tl.trans(outer), d_answer, PRECISION)
        store_tile(d_first, d_second, tile, d_w1, tl.sum(d_hidden, 0), d_w2, D, W, BD, BW)
    tl.store(d_q + at, d_queries, mask)
