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
from segttt.kernels.ttt_mlp.triton_tiles import (
    load_bias,
    load_tile,
    load_tokens,
    store_bias,
    store_tile,
)


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
    BLOCKS: tl.constexpr,
    RESIDENT: tl.constexpr,
    TURNED: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """From slot 0, the state before mini-batch `begin`, fill slots 1 to `count`.

    k, v [b, h, n, D]; first [slots, b, h, D + 1, W]; second [slots, b, h, W + 1, D]. With RESIDENT,
    where BW >= W and BLOCKS is 1, the weights stay in registers; otherwise tiles of them are read
    from the slots.
    """
    program = tl.program_id(0).to(tl.int64)
    first_stride = tl.num_programs(0).to(tl.int64) * ((D + 1) * W)
    second_stride = tl.num_programs(0).to(tl.int64) * ((W + 1) * D)
    first += program * ((D + 1) * W)
    second += program * ((W + 1) * D)
    real = (tl.arange(0, BD) < D)[None, :]
    head = program % h
    scale = load_bias(gamma + head * D, D, D == BD, BD)[None, :]
    shift = load_bias(beta + head * D, D, D == BD, BD)[None, :]
    origin, way = reading(ways, head, n, TURNED)
    c2 = load_bias(second + W * D, D, D == BD, BD)
    if RESIDENT:
        w1, c1, w2 = load_tile(first, second, 0, D, W, BD, BW)

    for batch in range(begin, begin + count):
        last_rho = tl.load(rho + last_row(batch, n, t)).to(tl.float32)
        into1, into2 = first + first_stride, second + second_stride
        from1, from2, c2_after = first, second, c2
        for block in range(BLOCKS):
            token, exists = tokens_of(block * BT + tl.arange(0, BT), batch, n, t, origin, way)
            keys = load_tokens(k, program, n, token, exists, D, BD)
            target = load_tokens(v, program, n, token, exists, D, BD) - keys
            rate = last_rho * tl.load(lr + program * n + token, exists, 0.0).to(tl.float32)

            if RESIDENT:
                z2 = dot(gelu(dot(keys, w1, PRECISION) + c1[None, :]), w2, PRECISION)
            else:
                z2 = tl.zeros((BT, BD), tl.float32)
                for tile in range(0, W, BW):
                    w1, c1, w2 = load_tile(first, second, tile, D, W, BD, BW)
                    z2 += dot(gelu(dot(keys, w1, PRECISION) + c1[None, :]), w2, PRECISION)
            _, _, _, slope = inner_loss(z2 + c2[None, :], target, scale, shift, real, eps, D)

            if RESIDENT:
                d_w1, d_c1, d_w2 = _learned(keys, slope, rate, w1, c1, w2, PRECISION)
                w1, c1, w2 = w1 - d_w1, c1 - d_c1, w2 - d_w2
                store_tile(into1, into2, 0, w1, c1, w2, D, W, BD, BW)
            else:
                for tile in range(0, W, BW):
                    w1, c1, w2 = load_tile(first, second, tile, D, W, BD, BW)
                    d_w1, d_c1, d_w2 = _learned(keys, slope, rate, w1, c1, w2, PRECISION)
                    if BLOCKS > 1:
                        w1, c1, w2 = load_tile(from1, from2, tile, D, W, BD, BW)
                        # Threads that hold the same number all load it, and one of them stores it.
                        tl.debug_barrier()
                    w1, c1, w2 = w1 - d_w1, c1 - d_c1, w2 - d_w2
                    store_tile(into1, into2, tile, w1, c1, w2, D, W, BD, BW)
                # What one thread has written, others read: for the next block or mini-batch.
                tl.debug_barrier()
            c2_after -= tl.sum(rate[:, None] * slope, 0)
            from1, from2 = into1, into2
        c2 = c2_after
        store_bias(into2 + W * D, c2, D, D == BD, BD)
        first, second = into1, into2


@triton.jit
@no_type_check
def _learned(keys, slope, rate, w1, c1, w2, PRECISION: tl.constexpr):
    """What a block of tokens takes from one tile of the inner width."""
    features, steepness = gelu_and_slope(dot(keys, w1, PRECISION) + c1[None, :])
    step1 = rate[:, None] * dot(slope, tl.trans(w2), PRECISION) * steepness
    step2 = rate[:, None] * slope
    return (
        dot(tl.trans(keys), step1, PRECISION),
        tl.sum(step1, 0),
        dot(tl.trans(features), step2, PRECISION),
    )
