"""TTT-MLP on a GPU: how the inner model learns. One program per sample and head, serial."""

from typing import no_type_check

import triton
import triton.language as tl

from segttt.kernels.ttt_mlp.triton_math import (
    dot,
    gelu,
    gelu_and_slope,
    inner_loss,
    last_row,
    reading,
    tokens_of,
)
from segttt.kernels.ttt_mlp.triton_tiles import load_bias, load_tile, store_bias, store_tile


@triton.jit(do_not_specialize=["n", "h", "t", "begin", "count"])
@no_type_check
def learn_kernel(
    k,
    v,
    lr,
    rho,
    gamma,
    beta,
    ways,
    first,
    second,
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
    RESIDENT: tl.constexpr,
    TURNED: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """From slot 0, the state before mini-batch `begin`, fill slots 1 to `count`.

    k, v [b, h, n, D]; first [slots, b, h, D + 1, W]; second [slots, b, h, W + 1, D]. With RESIDENT,
    where BW >= W, the weights stay in registers; otherwise tiles of them are read from the slots.
    """
    program = tl.program_id(0).to(tl.int64)
    first_stride = tl.num_programs(0).to(tl.int64) * ((D + 1) * W)
    second_stride = tl.num_programs(0).to(tl.int64) * ((W + 1) * D)
    first += program * ((D + 1) * W)
    second += program * ((W + 1) * D)
    rows, columns = tl.arange(0, BT), tl.arange(0, BD)
    real = (columns < D)[None, :]
    head = program % h
    scale = tl.load(gamma + head * D + columns, columns < D, 0.0).to(tl.float32)[None, :]
    shift = tl.load(beta + head * D + columns, columns < D, 0.0).to(tl.float32)[None, :]
    origin, way = reading(ways, head, n, TURNED)
    c2 = load_bias(second, D, W, BD)
    if RESIDENT:
        w1, c1, w2 = load_tile(first, second, 0, D, W, BD, BW)

    for batch in range(begin, begin + count):
        token, exists = tokens_of(rows, batch, n, t, origin, way)
        at = (program * n + token[:, None]) * D + columns[None, :]
        mask = exists[:, None] & real
        keys = tl.load(k + at, mask, 0.0).to(tl.float32)
        target = tl.load(v + at, mask, 0.0).to(tl.float32) - keys
        rate = tl.load(lr + program * n + token, exists, 0.0).to(tl.float32)
        rate *= tl.load(rho + last_row(batch, n, t)).to(tl.float32)

        if RESIDENT:
            z2 = dot(gelu(dot(keys, w1, PRECISION) + c1[None, :]), w2, PRECISION)
        else:
            z2 = tl.zeros((BT, BD), tl.float32)
            for tile in range(0, W, BW):
                w1, c1, w2 = load_tile(first, second, tile, D, W, BD, BW)
                z2 += dot(gelu(dot(keys, w1, PRECISION) + c1[None, :]), w2, PRECISION)
        _, _, _, slope = inner_loss(z2 + c2[None, :], target, scale, shift, real, eps, D)

        into1, into2 = first + first_stride, second + second_stride
        if RESIDENT:
            w1, c1, w2 = _learn(keys, slope, rate, w1, c1, w2, PRECISION)
            store_tile(into1, into2, 0, w1, c1, w2, D, W, BD, BW)
        else:
            for tile in range(0, W, BW):
                w1, c1, w2 = load_tile(first, second, tile, D, W, BD, BW)
                w1, c1, w2 = _learn(keys, slope, rate, w1, c1, w2, PRECISION)
                store_tile(into1, into2, tile, w1, c1, w2, D, W, BD, BW)
            # What one thread has written, others read as the next mini-batch's state.
            tl.debug_barrier()
        c2 -= tl.sum(rate[:, None] * slope, 0)
        store_bias(into2, c2, D, W, BD)
        first, second = into1, into2


@triton.jit
@no_type_check
def _learn(keys, slope, rate, w1, c1, w2, PRECISION: tl.constexpr):
    """One tile of the inner width after a mini-batch."""
    features, steepness = gelu_and_slope(dot(keys, w1, PRECISION) + c1[None, :])
    slope1 = dot(slope, tl.trans(w2), PRECISION) * steepness
    step1, step2 = rate[:, None] * slope1, rate[:, None] * slope
    return (
        w1 - dot(tl.trans(keys), step1, PRECISION),
        c1 - tl.sum(step1, 0),
        w2 - dot(tl.trans(features), step2, PRECISION),
    )
