"""TTT-MLP on a GPU: back through how the inner model learned. One program per sample and head."""

from typing import no_type_check

import triton
import triton.language as tl

from segttt.kernels.ttt_mlp.triton_math import (
    dot,
    gelu_and_slope,
    gelu_twice,
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
    load_tokens,
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
    BLOCKS: tl.constexpr,
    CAUSAL: tl.constexpr,
    TURNED: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """The serial chain: from the gradients of the state after each mini-batch to the one before.

    d_first [b, h, count + 1, D + 1, W] and d_second hold what the outputs ask of the states, and
    in the last slot all that is asked of it; here all is added to the others. Where CAUSAL, z2 to
    d_slope2 come as `inner_kernel` and `keys_backward_kernel` left them; otherwise d_features to
    d_slope2 hold nothing. d_slope2 takes the whole gradient of G2, d_features that of Z1.
    """
    program = tl.program_id(0).to(tl.int64)
    programs = tl.num_programs(0).to(tl.int64)
    T: tl.constexpr = BLOCKS * BT
    real = (tl.arange(0, BD) < D)[None, :]
    head = program % h
    origin, way = reading(ways, head, n, TURNED)

    for back in range(count):
        index = count - 1 - back
        batch, here = begin + index, program * count + index
        first_here = first + (index * programs + program) * ((D + 1) * W)
        second_here = second + (index * programs + program) * ((W + 1) * D)
        into1 = d_first + (here + program) * ((D + 1) * W)
        into2 = d_second + (here + program) * ((W + 1) * D)
        end1, end2 = into1 + (D + 1) * W, into2 + (W + 1) * D
        features_here, slope1_here = d_features + here * T * W, d_slope1 + here * T * W
        d_slope2_here = d_slope2 + here * T * D
        last_rho = tl.load(rho + last_row(batch, n, t)).to(tl.float32)
        d_c2 = load_bias(end2 + W * D, D, D == BD, BD)

        d_slope = tl.zeros((BT, BD), tl.float32)
        for row in range(0, T, BT):
            token, exists = tokens_of(row + tl.arange(0, BT), batch, n, t, origin, way)
            keys = load_tokens(k, program, n, token, exists, D, BD)
            rate = last_rho * tl.load(lr + program * n + token, exists, 0.0).to(tl.float32)
            d_slope = -rate[:, None] * d_c2[None, :]
            if CAUSAL:
                d_slope += load_rows(d_slope2_here, row, 0, T, D, BT, BD)
            # What the tiles share is formed anew in each: held, it would fill the registers.
            for tile in tl.range(0, W, BW, disable_licm=True):
                w1, c1, w2 = load_tile(first_here, second_here, tile, D, W, BD, BW)
                d_w1, d_c1, d_w2 = load_tile(end1, end2, tile, D, W, BD, BW)
                before = dot(keys, w1, PRECISION) + c1[None, :]
                features, steepness = gelu_and_slope(before)
                d_slope -= rate[:, None] * dot(features, d_w2, PRECISION)
                d_back = -rate[:, None] * (dot(keys, d_w1, PRECISION) + d_c1[None, :])
                if CAUSAL:
                    d_back += load_rows(slope1_here, row, tile, T, W, BT, BW)
                store_rows(slope1_here, d_back, row, tile, T, W, BT, BW)
                d_slope += dot(d_back * steepness, w2, PRECISION)
            store_rows(d_slope2_here, d_slope, row, 0, T, D, BT, BD)
        # What one thread has written, others read below.
        tl.debug_barrier()

        d_c2 += load_bias(into2 + W * D, D, D == BD, BD)
        for row in range(0, T, BT):
            token, exists = tokens_of(row + tl.arange(0, BT), batch, n, t, origin, way)
            keys = load_tokens(k, program, n, token, exists, D, BD)
            rate = last_rho * tl.load(lr + program * n + token, exists, 0.0).to(tl.float32)
            target = load_tokens(v, program, n, token, exists, D, BD) - keys
            found = load_rows(z2 + here * T * D, row, 0, T, D, BT, BD)
            scale = load_bias(gamma + head * D, D, D == BD, BD)[None, :]
            shift = load_bias(beta + head * D, D, D == BD, BD)[None, :]
            normed, rstd, error, slope = inner_loss(found, target, scale, shift, real, eps, D)
            if BLOCKS > 1:
                d_slope = load_rows(d_slope2_here, row, 0, T, D, BT, BD)
            _, d_z2 = slope_backward(normed, rstd, error, slope, scale, d_slope, real, D)
            d_c2 += tl.sum(d_z2, 0)
            for tile in range(0, W, BW):
                w1, c1, w2 = load_tile(first_here, second_here, tile, D, W, BD, BW)
                from1, from_c1, from2 = load_tile(end1, end2, tile, D, W, BD, BW)
                before = dot(keys, w1, PRECISION) + c1[None, :]
                features, steepness, curvature = gelu_twice(before)
                d_before = dot(d_z2, tl.trans(w2), PRECISION)
                d_before -= rate[:, None] * dot(slope, tl.trans(from2), PRECISION)
                if CAUSAL:
                    d_before += load_rows(features_here, row, tile, T, W, BT, BW)
                d_back = load_rows(slope1_here, row, tile, T, W, BT, BW)
                d_before *= steepness
                d_before += d_back * dot(slope, tl.trans(w2), PRECISION) * curvature
                store_rows(features_here, d_before, row, tile, T, W, BT, BW)
                d_w1, d_c1, d_w2 = load_tile(into1, into2, tile, D, W, BD, BW)
                d_w1 += dot(tl.trans(keys), d_before, PRECISION)
                d_c1 += tl.sum(d_before, 0)
                d_w2 += dot(tl.trans(features), d_z2, PRECISION)
                d_w2 += dot(tl.trans(d_back * steepness), slope, PRECISION)
                d_w1 += _once(from1, row, BLOCKS)
                d_c1 += _once(from_c1, row, BLOCKS)
                d_w2 += _once(from2, row, BLOCKS)
                store_tile(into1, into2, tile, d_w1, d_c1, d_w2, D, W, BD, BW)
        store_bias(into2 + W * D, d_c2, D, D == BD, BD)
        tl.debug_barrier()


@triton.jit
@no_type_check
def _once(x, row, BLOCKS: tl.constexpr):
    """x at a mini-batch's first block, else zeros."""
    if BLOCKS == 1:
        return x
    else:
        return tl.where(row == 0, x, 0.0)
