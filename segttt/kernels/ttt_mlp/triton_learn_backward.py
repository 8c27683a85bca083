"""TTT-MLP on a GPU: back through how the inner model learned. One program per sample and head."""

from typing import no_type_check

import triton
import triton.language as tl

from segttt.kernels.ttt_mlp.triton_math import (
    dot,
    gelu,
    gelu_and_slope,
    gelu_slope_and_curvature,
    inner_loss,
    last_row,
    reading,
    slope_backward,
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
def learn_backward_kernel(
    k,
    v,
    lr,
    rho,
    gamma,
    beta,
    ways,
    first,
    second,
    z2,
    d_features,
    d_slope1,
    d_slope2,
    asked1,
    asked2,
    d_first,
    d_second,
    d_k,
    d_v,
    d_lr,
    d_rho,
    d_gamma,
    d_beta,
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
    CAUSAL: tl.constexpr,
    TURNED: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """From the gradients of the state after `count` mini-batches to those of the state before.

    d_first [b, h, D + 1, W] and d_second are overwritten. asked1 [b, h, count, D + 1, W] and asked2
    are what the outputs ask of the state before each mini-batch; where CAUSAL, d_slope2 and the
    like are what they ask of the rest, and are added to, as are d_k and d_lr; otherwise asked1 and
    asked2 are for the state after it, and d_features and d_slope1 are only room to work in.
    d_rho [b, h, t], d_gamma and d_beta [b, h, D] are added to.
    """
    program = tl.program_id(0).to(tl.int64)
    programs = tl.num_programs(0).to(tl.int64)
    rows, columns = tl.arange(0, BT), tl.arange(0, BD)
    real = (columns < D)[None, :]
    head = program % h
    scale = tl.load(gamma + head * D + columns, columns < D, 0.0).to(tl.float32)[None, :]
    shift = tl.load(beta + head * D + columns, columns < D, 0.0).to(tl.float32)[None, :]
    origin, way = reading(ways, head, n, TURNED)
    d_first += program * ((D + 1) * W)
    d_second += program * ((W + 1) * D)
    d_c2 = load_bias(d_second, D, W, BD)
    d_scale = tl.load(d_gamma + program * D + columns, columns < D, 0.0)
    d_shift = tl.load(d_beta + program * D + columns, columns < D, 0.0)
    d_scales = tl.load(d_rho + program * t + rows, rows < t, 0.0)

    for back in range(count):
        index = count - 1 - back
        here = program * count + index
        first_here = first + (index * programs + program) * ((D + 1) * W)
        second_here = second + (index * programs + program) * ((W + 1) * D)
        asked1_here = asked1 + here * ((D + 1) * W)
        asked2_here = asked2 + here * ((W + 1) * D)
        features_here = d_features + here * t * W
        slope1_here = d_slope1 + here * t * W
        batch = begin + index
        token, exists = tokens_of(rows, batch, n, t, origin, way)
        at = (program * n + token[:, None]) * D + columns[None, :]
        mask = exists[:, None] & real
        keys = tl.load(k + at, mask, 0.0).to(tl.float32)
        target = tl.load(v + at, mask, 0.0).to(tl.float32) - keys
        lr_here = tl.load(lr + program * n + token, exists, 0.0).to(tl.float32)
        last = last_row(batch, n, t)
        last_rho = tl.load(rho + last).to(tl.float32)
        rate = last_rho * lr_here

        normed, rstd, error, slope = inner_loss(
            load_rows(z2 + here * t * D, 0, t, D, BT, BD), target, scale, shift, real, eps, D
        )

        d_slope = tl.zeros((BT, BD), tl.float32)
        if CAUSAL:
            d_slope += load_rows(d_slope2 + here * t * D, 0, t, D, BT, BD)
        else:
            d_c2 += load_bias(asked2_here, D, W, BD)
        d_keys = tl.zeros((BT, BD), tl.float32)
        d_slope -= rate[:, None] * d_c2[None, :]
        d_rate = -tl.sum(slope * d_c2[None, :], 1)
        for tile in range(0, W, BW):
            w1, c1, w2 = load_tile(first_here, second_here, tile, D, W, BD, BW)
            d_w1, d_c1, d_w2 = load_tile(d_first, d_second, tile, D, W, BD, BW)
            a_w1, a_c1, a_w2 = load_tile(asked1_here, asked2_here, tile, D, W, BD, BW)
            if not CAUSAL:
                d_w1, d_c1, d_w2 = d_w1 + a_w1, d_c1 + a_c1, d_w2 + a_w2
            before = dot(keys, w1, PRECISION) + c1[None, :]
            steepness, curvature = gelu_slope_and_curvature(before)
            returned = dot(slope, tl.trans(w2), PRECISION)
            slope1 = returned * steepness
            pull1 = dot(keys, d_w1, PRECISION) + d_c1[None, :]
            pull2 = dot(gelu(before), d_w2, PRECISION)
            d_slope_here = -rate[:, None] * pull1
            if CAUSAL:
                d_slope_here += load_rows(slope1_here, tile, t, W, BT, BW)
            d_rate -= tl.sum(pull1 * slope1, 1) + tl.sum(pull2 * slope, 1)
            d_keys -= rate[:, None] * dot(slope1, tl.trans(d_w1), PRECISION)
            d_returned = d_slope_here * steepness
            d_slope += dot(d_returned, w2, PRECISION) - rate[:, None] * pull2
            given = -rate[:, None] * dot(slope, tl.trans(d_w2), PRECISION)
            if CAUSAL:
                given += load_rows(features_here, tile, t, W, BT, BW)
            given = given * steepness + d_slope_here * returned * curvature
            store_rows(features_here, given, tile, t, W, BT, BW)
            d_w2 += dot(tl.trans(d_returned), slope, PRECISION)
            if CAUSAL:
                d_w1, d_c1, d_w2 = d_w1 + a_w1, d_c1 + a_c1, d_w2 + a_w2
            store_tile(d_first, d_second, tile, d_w1, d_c1, d_w2, D, W, BD, BW)
        # What one thread has written, others read below.
        tl.debug_barrier()

        d_error, d_z2 = slope_backward(normed, rstd, error, slope, scale, d_slope, real, D)
        for tile in range(0, W, BW):
            w1, c1, w2 = load_tile(first_here, second_here, tile, D, W, BD, BW)
            d_w1, d_c1, d_w2 = load_tile(d_first, d_second, tile, D, W, BD, BW)
            features, steepness = gelu_and_slope(dot(keys, w1, PRECISION) + c1[None, :])
            d_before = dot(d_z2, tl.trans(w2), PRECISION) * steepness
            d_before += load_rows(features_here, tile, t, W, BT, BW)
            d_keys += dot(d_before, tl.trans(w1), PRECISION)
            d_w1 += dot(tl.trans(keys), d_before, PRECISION)
            d_c1 += tl.sum(d_before, 0)
            d_w2 += dot(tl.trans(features), d_z2, PRECISION)
            store_tile(d_first, d_second, tile, d_w1, d_c1, d_w2, D, W, BD, BW)
        tl.debug_barrier()

        d_c2 += tl.sum(d_z2, 0)
        d_lr_here = last_rho * d_rate
        if CAUSAL:
            d_c2 += load_bias(asked2_here, D, W, BD)
            d_keys += tl.load(d_k + at, mask, 0.0)
            d_lr_here += tl.load(d_lr + program * n + token, exists, 0.0)
        d_target = -scale * d_error
        tl.store(d_k + at, d_keys - d_target, mask)
        tl.store(d_v + at, d_target, mask)
        tl.store(d_lr + program * n + token, d_lr_here, exists)
        d_scale += tl.sum(error * d_error - normed * d_target, 0)
        d_shift -= tl.sum(d_target, 0)
        d_scales += tl.where(rows == last, tl.sum(lr_here * d_rate, 0), 0.0)

    store_bias(d_second, d_c2, D, W, BD)
    tl.store(d_gamma + program * D + columns, d_scale, columns < D)
    tl.store(d_beta + program * D + columns, d_shift, columns < D)
    tl.store(d_rho + program * t + rows, d_scales, rows < t)
