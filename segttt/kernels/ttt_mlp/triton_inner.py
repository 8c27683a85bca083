"""TTT-MLP on a GPU: the inner model at the keys, from saved states. Programs for all blocks."""

from typing import no_type_check

import triton
import triton.language as tl

from segttt.kernels.ttt_mlp.triton_math import (
    dot,
    gelu,
    gelu_and_slope,
    inner_loss,
    reading,
    this_program,
    tokens_of,
)
from segttt.kernels.ttt_mlp.triton_tiles import (
    load_bias,
    load_tile,
    load_tokens,
    store_rows,
)


@triton.jit(do_not_specialize=["n", "h", "t", "begin", "count"])
@no_type_check
def inner_kernel(
    k,
    v,
    gamma,
    beta,
    ways,
    first,
    second,
    z2,
    slope2,
    features,
    slope1,
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
    TURNED: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Z2 and G2 [b, h, count, T, D], X and G1 [b, h, count, T, W] of mini-batches from `begin` on.

    Slot i of first [slots, b, h, D + 1, W] and second is the state before mini-batch begin + i.
    T = BLOCKS BT; rows beyond t hold finite numbers that teach nothing, since their lr is 0.
    """
    program, index, block = this_program(count, BLOCKS)
    programs = tl.num_programs(0).to(tl.int64) // (count * BLOCKS)
    here = program * count + index
    slot = index * programs + program
    first += slot * ((D + 1) * W)
    second += slot * ((W + 1) * D)
    T: tl.constexpr = BLOCKS * BT
    real = (tl.arange(0, BD) < D)[None, :]
    head = program % h
    origin, way = reading(ways, head, n, TURNED)
    row = block * BT
    token, exists = tokens_of(row + tl.arange(0, BT), begin + index, n, t, origin, way)
    keys = load_tokens(k, program, n, token, exists, D, BD)
    found = tl.zeros((BT, BD), tl.float32)
    found += load_bias(second + W * D, D, D == BD, BD)[None, :]
    for tile in range(0, W, BW):
        w1, c1, w2 = load_tile(first, second, tile, D, W, BD, BW)
        found += dot(gelu(dot(keys, w1, PRECISION) + c1[None, :]), w2, PRECISION)
    store_rows(z2 + here * T * D, found, row, 0, T, D, BT, BD)

    target = load_tokens(v, program, n, token, exists, D, BD) - keys
    scale = load_bias(gamma + head * D, D, D == BD, BD)[None, :]
    shift = load_bias(beta + head * D, D, D == BD, BD)[None, :]
    _, _, _, slope = inner_loss(found, target, scale, shift, real, eps, D)
    store_rows(slope2 + here * T * D, slope, row, 0, T, D, BT, BD)
    for tile in range(0, W, BW):
        w1, c1, w2 = load_tile(first, second, tile, D, W, BD, BW)
        value, steepness = gelu_and_slope(dot(keys, w1, PRECISION) + c1[None, :])
        store_rows(features + here * T * W, value, row, tile, T, W, BT, BW)
        back = dot(slope, tl.trans(w2), PRECISION) * steepness
        store_rows(slope1 + here * T * W, back, row, tile, T, W, BT, BW)


@triton.jit(do_not_specialize=["n", "h", "t", "begin", "count"])
@no_type_check
def loss_kernel(
    k,
    v,
    gamma,
    beta,
    ways,
    first,
    second,
    sums,
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
    TURNED: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """The inner losses of each block, added, before and after the update, [b, h, count, BLOCKS, 2].

    One program per block of tokens and per end of its mini-batch.
    """
    program, index, part = this_program(count, 2 * BLOCKS)
    programs = tl.num_programs(0).to(tl.int64) // (count * (2 * BLOCKS))
    block, after = part // 2, part % 2
    slot = (index + after) * programs + program
    first += slot * ((D + 1) * W)
    second += slot * ((W + 1) * D)
    real = (tl.arange(0, BD) < D)[None, :]
    head = program % h
    origin, way = reading(ways, head, n, TURNED)
    token, exists = tokens_of(block * BT + tl.arange(0, BT), begin + index, n, t, origin, way)
    keys = load_tokens(k, program, n, token, exists, D, BD)
    found = tl.zeros((BT, BD), tl.float32)
    found += load_bias(second + W * D, D, D == BD, BD)[None, :]
    for tile in range(0, W, BW):
        w1, c1, w2 = load_tile(first, second, tile, D, W, BD, BW)
        found += dot(gelu(dot(keys, w1, PRECISION) + c1[None, :]), w2, PRECISION)
    target = load_tokens(v, program, n, token, exists, D, BD) - keys
    scale = load_bias(gamma + head * D, D, D == BD, BD)[None, :]
    shift = load_bias(beta + head * D, D, D == BD, BD)[None, :]
    _, _, error, _ = inner_loss(found, target, scale, shift, real, eps, D)
    total = tl.sum(tl.sum(tl.where(exists[:, None], error * error, 0.0), 1), 0)
    tl.store(sums + tl.program_id(0).to(tl.int64), 0.5 * total)
