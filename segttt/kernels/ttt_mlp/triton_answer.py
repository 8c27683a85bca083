"""TTT-MLP on a GPU: what the inner model says. One program per block of queries."""

from typing import no_type_check

import triton
import triton.language as tl

from segttt.kernels.ttt_mlp.triton_math import (
    dot,
    gelu,
    normalise,
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
    store_rows,
    store_tokens,
)


@triton.jit(do_not_specialize=["n", "h", "t", "begin", "count"])
@no_type_check
def answer_kernel(
    q,
    k,
    lr,
    rho,
    gamma,
    beta,
    ways,
    first,
    second,
    slope2,
    features,
    slope1,
    hidden,
    alike1,
    alike2,
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
    BLOCKS: tl.constexpr,
    CAUSAL: tl.constexpr,
    AGAIN: tl.constexpr,
    TURNED: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """The outputs of the mini-batches from `begin` on, of which `count` are served.

    q, k, out [b, h, n, D]; slope2 to slope1 are what `inner_kernel` has found, read where CAUSAL.
    hidden [b, h, count, T, W] takes what the queries' first layer says, alike1 [b, h, count, T, T]
    the queries' products with the keys, plus one. AGAIN, for the backward pass: out is
    [b, h, count, T, D] and takes Z̄2, alike2 the products of the two features, plus one.
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
    head = program % h
    origin, way = reading(ways, head, n, TURNED)
    batch, row = begin + index, block * BT
    rows = row + tl.arange(0, BT)
    token, exists = tokens_of(rows, batch, n, t, origin, way)
    queries = load_tokens(q, program, n, token, exists, D, BD)
    if CAUSAL:
        scales = tl.load(rho + rows, rows < t, 0.0).to(tl.float32)
        place = (program, batch, n, t, origin, way)
        _compare(queries, k, alike1, row, place, D, BT, BD, T, PRECISION)
        # What one thread has written, others read.
        tl.debug_barrier()

    answer = tl.zeros((BT, BD), tl.float32)
    answer += load_bias(second + W * D, D, D == BD, BD)[None, :]
    for tile in range(0, W, BW):
        w1, c1, w2 = load_tile(first, second, tile, D, W, BD, BW)
        before = dot(queries, w1, PRECISION) + c1[None, :]
        if CAUSAL:
            for other in range(0, row + BT, BT):
                others = other + tl.arange(0, BT)
                token, exists = tokens_of(others, batch, n, t, origin, way)
                rates = tl.load(lr + program * n + token, exists, 0.0).to(tl.float32)
                mixing = load_rows(alike1, row, other, T, T, BT, BT)
                mixing *= steps(rows, scales, others, rates)
                slopes = load_rows(slope1, other, tile, T, W, BT, BW)
                before -= dot(mixing, slopes, PRECISION)
        if CAUSAL or AGAIN:
            store_rows(hidden, before, row, tile, T, W, BT, BW)
        answer += dot(gelu(before), w2, PRECISION)

    if CAUSAL:
        tl.debug_barrier()
        for other in range(0, row + BT, BT):
            alike = _features_alike(hidden, features, row, other, W, BT, BW, T, PRECISION)
            if AGAIN:
                store_rows(alike2, alike, row, other, T, T, BT, BT)
            others = other + tl.arange(0, BT)
            token, exists = tokens_of(others, batch, n, t, origin, way)
            rates = tl.load(lr + program * n + token, exists, 0.0).to(tl.float32)
            slopes = load_rows(slope2, other, 0, T, D, BT, BD)
            answer -= dot(alike * steps(rows, scales, others, rates), slopes, PRECISION)

    if AGAIN:
        store_rows(out + here * T * D, answer, row, 0, T, D, BT, BD)
    else:
        normed, _ = normalise(answer, (tl.arange(0, BD) < D)[None, :], eps, D)
        scale = load_bias(gamma + head * D, D, D == BD, BD)[None, :]
        shift = load_bias(beta + head * D, D, D == BD, BD)[None, :]
        token, exists = tokens_of(rows, batch, n, t, origin, way)
        queries = load_tokens(q, program, n, token, exists, D, BD)
        answer = queries + scale * normed + shift
        store_tokens(out, answer, program, n, token, exists, D, BD)


@triton.jit
@no_type_check
def _compare(
    queries,
    k,
    alike,
    row,
    place,
    D: tl.constexpr,
    BT: tl.constexpr,
    BD: tl.constexpr,
    T: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Write the products of a block of queries with the keys that it sees, plus one, to alike."""
    program, batch, n, t, origin, way = place
    for other in range(0, row + BT, BT):
        token, exists = tokens_of(other + tl.arange(0, BT), batch, n, t, origin, way)
        keys = load_tokens(k, program, n, token, exists, D, BD)
        product = dot(queries, tl.trans(keys), PRECISION) + 1
        store_rows(alike, product, row, other, T, T, BT, BT)


@triton.jit
@no_type_check
def _features_alike(
    hidden,
    features,
    row,
    other,
    W: tl.constexpr,
    BT: tl.constexpr,
    BW: tl.constexpr,
    T: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """The products of a block of queries' features with those of a block of keys, plus one."""
    alike = tl.full((BT, BT), 1.0, tl.float32)
    for tile in range(0, W, BW):
        outer = gelu(load_rows(hidden, row, tile, T, W, BT, BW))
        taught = load_rows(features, other, tile, T, W, BT, BW)
        alike += dot(outer, tl.trans(taught), PRECISION)
    return alike
