"""TTT-MLP on a GPU: what the inner model says. One program per mini-batch of a sample and head."""

from typing import no_type_check

import triton
import triton.language as tl

from segttt.kernels.ttt_mlp.triton_math import (
    dot,
    gelu,
    gelu_and_slope,
    inner_loss,
    last_row,
    normalise,
    reading,
    steps,
    tokens_of,
)
from segttt.kernels.ttt_mlp.triton_tiles import load_bias, load_tile


@triton.jit(do_not_specialize=["n", "h", "t", "begin", "count"])
@no_type_check
def answer_kernel(
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
    out,
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
    """The outputs of the mini-batches from `begin` on, of which `count` are served.

    q, k, v, out [b, h, n, D]; slot i of first [slots, b, h, D + 1, W] and second is the state
    before mini-batch begin + i.
    """
    program, index = (tl.program_id(0) // count).to(tl.int64), tl.program_id(0) % count
    programs = tl.num_programs(0).to(tl.int64) // count
    batch = begin + index
    slot = (index if CAUSAL else index + 1) * programs + program
    first += slot * ((D + 1) * W)
    second += slot * ((W + 1) * D)
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
    c2 = load_bias(second, D, W, BD)
    answer = tl.zeros((BT, BD), tl.float32) + c2[None, :]

    if CAUSAL:
        keys = tl.load(k + at, mask, 0.0).to(tl.float32)
        target = tl.load(v + at, mask, 0.0).to(tl.float32) - keys
        rate = tl.load(lr + program * n + token, exists, 0.0).to(tl.float32)
        z2 = tl.zeros((BT, BD), tl.float32) + c2[None, :]
        for tile in range(0, W, BW):
            w1, c1, w2 = load_tile(first, second, tile, D, W, BD, BW)
            z2 += dot(gelu(dot(keys, w1, PRECISION) + c1[None, :]), w2, PRECISION)
        _, _, _, slope = inner_loss(z2, target, scale, shift, real, eps, D)
        step = steps(rows, rho, rate, t)
        mixing = step * (dot(queries, tl.trans(keys), PRECISION) + 1)
        similarity = tl.zeros((BT, BT), tl.float32)
        for tile in range(0, W, BW):
            w1, c1, w2 = load_tile(first, second, tile, D, W, BD, BW)
            features, steepness = gelu_and_slope(dot(keys, w1, PRECISION) + c1[None, :])
            slope1 = dot(slope, tl.trans(w2), PRECISION) * steepness
            hidden = dot(queries, w1, PRECISION) + c1[None, :]
            outer = gelu(hidden - dot(mixing, slope1, PRECISION))
            answer += dot(outer, w2, PRECISION)
            similarity += dot(outer, tl.trans(features), PRECISION)
        answer -= dot(step * (similarity + 1), slope, PRECISION)
    else:
        for tile in range(0, W, BW):
            w1, c1, w2 = load_tile(first, second, tile, D, W, BD, BW)
            answer += dot(gelu(dot(queries, w1, PRECISION) + c1[None, :]), w2, PRECISION)
    normed, _ = normalise(answer, real, eps, D)
    tl.store(out + at, (queries + scale * normed + shift).to(out.dtype.element_ty), mask)


@triton.jit(do_not_specialize=["n", "h", "t", "begin", "count", "batches"])
@no_type_check
def loss_kernel(
    k,
    v,
    gamma,
    beta,
    ways,
    first,
    second,
    losses,
    n,
    h,
    t,
    eps,
    begin,
    count,
    batches,
    D: tl.constexpr,
    W: tl.constexpr,
    BT: tl.constexpr,
    BD: tl.constexpr,
    BW: tl.constexpr,
    TURNED: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """The mean inner loss before and after each mini-batch's update, losses [b, h, batches, 2].

    One program per mini-batch of a sample and head, and per end of it.
    """
    pair, after = tl.program_id(0) // 2, tl.program_id(0) % 2
    program, index = (pair // count).to(tl.int64), pair % count
    programs = tl.num_programs(0).to(tl.int64) // (2 * count)
    batch = begin + index
    slot = (index + after) * programs + program
    first += slot * ((D + 1) * W)
    second += slot * ((W + 1) * D)
    rows, columns = tl.arange(0, BT), tl.arange(0, BD)
    real = (columns < D)[None, :]
    head = program % h
    scale = tl.load(gamma + head * D + columns, columns < D, 0.0).to(tl.float32)[None, :]
    shift = tl.load(beta + head * D + columns, columns < D, 0.0).to(tl.float32)[None, :]
    origin, way = reading(ways, head, n, TURNED)
    token, exists = tokens_of(rows, batch, n, t, origin, way)
    at = (program * n + token[:, None]) * D + columns[None, :]
    mask = exists[:, None] & real
    keys = tl.load(k + at, mask, 0.0).to(tl.float32)
    target = tl.load(v + at, mask, 0.0).to(tl.float32) - keys
    z2 = tl.zeros((BT, BD), tl.float32) + load_bias(second, D, W, BD)[None, :]
    for tile in range(0, W, BW):
        w1, c1, w2 = load_tile(first, second, tile, D, W, BD, BW)
        z2 += dot(gelu(dot(keys, w1, PRECISION) + c1[None, :]), w2, PRECISION)
    _, _, error, _ = inner_loss(z2, target, scale, shift, real, eps, D)
    squares = tl.where(exists[:, None], error * error, 0.0)
    total = tl.sum(tl.sum(squares, 1), 0) / (last_row(batch, n, t) + 1)
    tl.store(losses + (program * batches + batch) * 2 + after, 0.5 * total)
