"""TTT-MLP on a GPU, backward: gradients of keys, values, rates and states, all at once."""

from typing import no_type_check

import triton
import triton.language as tl

from segttt.kernels.ttt_mlp.triton_math import (
    dot,
    gelu,
    inner_loss,
    last_row,
    reading,
    slope_backward,
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
    store_tile,
    store_tokens,
)


@triton.jit(do_not_specialize=["n", "h", "t", "begin", "count"])
@no_type_check
def keys_backward_kernel(
    q,
    lr,
    rho,
    ways,
    hidden,
    alike1,
    alike2,
    d_answer,
    d_hidden,
    d_mixing1,
    d_mixing2,
    d_features,
    d_slope1,
    d_slope2,
    d_k,
    d_lr,
    n,
    h,
    t,
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
    """What the queries of a mini-batch, where causal, ask of its keys.

    The arguments up to d_mixing2 are those of `queries_backward_kernel`. d_features and d_slope1
    [b, h, count, T, W], d_slope2 [b, h, count, T, D], d_k [b, h, n, D] and d_lr [b, h, n] are
    written.
    """
    program, index, block = this_program(count, BLOCKS)
    here = program * count + index
    T: tl.constexpr = BLOCKS * BT
    hidden += here * T * W
    alike1 += here * T * T
    alike2 += here * T * T
    d_answer += here * T * D
    d_hidden += here * T * W
    d_mixing1 += here * T * T
    d_mixing2 += here * T * T
    d_features += here * T * W
    d_slope1 += here * T * W
    origin, way = reading(ways, program % h, n, TURNED)
    batch, column = begin + index, block * BT
    columns = column + tl.arange(0, BT)
    token, exists = tokens_of(columns, batch, n, t, origin, way)
    rates = tl.load(lr + program * n + token, exists, 0.0).to(tl.float32)

    d_keys, d_last = tl.zeros((BT, BD), tl.float32), tl.zeros((BT, BD), tl.float32)
    d_rates = tl.zeros((BT,), tl.float32)
    for other in range(column, T, BT):
        rows = other + tl.arange(0, BT)
        scales = tl.load(rho + rows, rows < t, 0.0).to(tl.float32)
        step = steps(rows, scales, columns, rates)
        d_mixing = load_rows(d_mixing1, other, column, T, T, BT, BT)
        token, exists = tokens_of(rows, batch, n, t, origin, way)
        queries = load_tokens(q, program, n, token, exists, D, BD)
        d_keys += dot(tl.trans(d_mixing * step), queries, PRECISION)
        d_mixing *= load_rows(alike1, other, column, T, T, BT, BT)
        alike = load_rows(alike2, other, column, T, T, BT, BT)
        d_mixing += load_rows(d_mixing2, other, column, T, T, BT, BT) * alike
        d_mixing = tl.where(rows[:, None] >= columns[None, :], d_mixing, 0.0)
        d_rates += tl.sum(d_mixing * scales[:, None], 0)
        d_after = load_rows(d_answer, other, 0, T, D, BT, BD)
        d_last -= dot(tl.trans(alike * step), d_after, PRECISION)
    token, exists = tokens_of(columns, batch, n, t, origin, way)
    store_tokens(d_k, d_keys, program, n, token, exists, D, BD)
    tl.store(d_lr + program * n + token, d_rates, exists)
    store_rows(d_slope2 + here * T * D, d_last, column, 0, T, D, BT, BD)

    for tile in range(0, W, BW):
        d_taught, d_back = tl.zeros((BT, BW), tl.float32), tl.zeros((BT, BW), tl.float32)
        for other in range(column, T, BT):
            rows = other + tl.arange(0, BT)
            scales = tl.load(rho + rows, rows < t, 0.0).to(tl.float32)
            step = steps(rows, scales, columns, rates)
            mixing = load_rows(alike1, other, column, T, T, BT, BT) * step
            d_before = load_rows(d_hidden, other, tile, T, W, BT, BW)
            d_back -= dot(tl.trans(mixing), d_before, PRECISION)
            d_alike = load_rows(d_mixing2, other, column, T, T, BT, BT) * step
            outer = gelu(load_rows(hidden, other, tile, T, W, BT, BW))
            d_taught += dot(tl.trans(d_alike), outer, PRECISION)
        store_rows(d_slope1, d_back, column, tile, T, W, BT, BW)
        store_rows(d_features, d_taught, column, tile, T, W, BT, BW)


@triton.jit(do_not_specialize=["n", "h", "t", "begin", "count"])
@no_type_check
def weights_backward_kernel(
    q,
    ways,
    hidden,
    d_answer,
    d_hidden,
    d_first,
    d_second,
    n,
    h,
    t,
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
    """Add what the answers ask of the states that they came from; one program per tile of them.

    d_first [b, h, count + 1, D + 1, W] and d_second: the states before each of the mini-batches and
    after the last. The other arguments are those of `queries_backward_kernel`.
    """
    TILES: tl.constexpr = (W + BW - 1) // BW
    program, index, part = this_program(count, TILES)
    here, tile = program * count + index, part * BW
    T: tl.constexpr = BLOCKS * BT
    slot = program * (count + 1) + (index if CAUSAL else index + 1)
    d_first += slot * ((D + 1) * W)
    d_second += slot * ((W + 1) * D)
    hidden += here * T * W
    d_answer += here * T * D
    d_hidden += here * T * W
    origin, way = reading(ways, program % h, n, TURNED)
    d_w1, d_c1, d_w2 = load_tile(d_first, d_second, tile, D, W, BD, BW)
    d_c2 = tl.zeros((BD,), tl.float32)
    for row in range(0, T, BT):
        rows = row + tl.arange(0, BT)
        token, exists = tokens_of(rows, begin + index, n, t, origin, way)
        queries = load_tokens(q, program, n, token, exists, D, BD)
        d_before = load_rows(d_hidden, row, tile, T, W, BT, BW)
        d_w1 += dot(tl.trans(queries), d_before, PRECISION)
        d_c1 += tl.sum(d_before, 0)
        d_after = load_rows(d_answer, row, 0, T, D, BT, BD)
        outer = gelu(load_rows(hidden, row, tile, T, W, BT, BW))
        d_w2 += dot(tl.trans(outer), d_after, PRECISION)
        d_c2 += tl.sum(d_after, 0)
    store_tile(d_first, d_second, tile, d_w1, d_c1, d_w2, D, W, BD, BW)
    if part == 0:
        d_c2 += load_bias(d_second + W * D, D, D == BD, BD)
        # Threads that hold the same channel all load it, and one of them stores it.
        tl.debug_barrier()
        store_bias(d_second + W * D, d_c2, D, D == BD, BD)


@triton.jit(do_not_specialize=["n", "h", "t", "begin", "count"])
@no_type_check
def tokens_backward_kernel(
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
    slope2,
    features,
    slope1,
    d_features,
    d_slope2,
    d_first,
    d_second,
    d_k,
    d_v,
    d_lr,
    d_last,
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
    """Gradients of keys, values and rates, from all that `learn_backward_kernel` has left.

    d_k [b, h, n, D] and d_lr [b, h, n] are added to where CAUSAL; d_last [b, h, count, BLOCKS], of
    rho at a mini-batch's last token, and d_norm [b, h, count, BLOCKS, 2, D] are shares.
    """
    program, index, block = this_program(count, BLOCKS)
    programs = tl.num_programs(0).to(tl.int64) // (count * BLOCKS)
    here = program * count + index
    slot, end = index * programs + program, here + program + 1
    first += slot * ((D + 1) * W)
    second += slot * ((W + 1) * D)
    d_first += end * ((D + 1) * W)
    d_second += end * ((W + 1) * D)
    T: tl.constexpr = BLOCKS * BT
    features += here * T * W
    slope1 += here * T * W
    d_features += here * T * W
    head = program % h
    origin, way = reading(ways, head, n, TURNED)
    batch, row = begin + index, block * BT
    real = (tl.arange(0, BD) < D)[None, :]
    token, exists = tokens_of(row + tl.arange(0, BT), batch, n, t, origin, way)
    keys = load_tokens(k, program, n, token, exists, D, BD)
    rate = tl.load(lr + program * n + token, exists, 0.0).to(tl.float32)
    last_rho = tl.load(rho + last_row(batch, n, t)).to(tl.float32)
    step = (last_rho * rate)[:, None]

    pull2 = tl.zeros((BT, BD), tl.float32)
    pull2 += load_bias(d_second + W * D, D, D == BD, BD)[None, :]
    d_keys, d_rate = tl.zeros((BT, BD), tl.float32), tl.zeros((BT,), tl.float32)
    for tile in range(0, W, BW):
        d_w1, d_c1, d_w2 = load_tile(d_first, d_second, tile, D, W, BD, BW)
        pull2 += dot(load_rows(features, row, tile, T, W, BT, BW), d_w2, PRECISION)
        pull1 = dot(keys, d_w1, PRECISION) + d_c1[None, :]
        slopes = load_rows(slope1, row, tile, T, W, BT, BW)
        d_rate -= tl.sum(pull1 * slopes, 1)
        d_keys -= dot(step * slopes, tl.trans(d_w1), PRECISION)
        d_before = load_rows(d_features, row, tile, T, W, BT, BW)
        w1 = load_rows(first, 0, tile, D, W, BD, BW)
        d_keys += dot(d_before, tl.trans(w1), PRECISION)

    scale = load_bias(gamma + head * D, D, D == BD, BD)[None, :]
    shift = load_bias(beta + head * D, D, D == BD, BD)[None, :]
    target = load_tokens(v, program, n, token, exists, D, BD) - keys
    found = load_rows(z2 + here * T * D, row, 0, T, D, BT, BD)
    normed, rstd, error, slope = inner_loss(found, target, scale, shift, real, eps, D)
    d_rate -= tl.sum(pull2 * slope, 1)
    d_slope = load_rows(d_slope2 + here * T * D, row, 0, T, D, BT, BD)
    d_error, _ = slope_backward(normed, rstd, error, slope, scale, d_slope, real, D)
    d_target = -scale * d_error
    d_keys -= d_target
    share = here * BLOCKS + block
    tl.store(d_last + share, tl.sum(rate * d_rate, 0))
    d_rate *= last_rho
    if CAUSAL:
        d_keys += load_tokens(d_k, program, n, token, exists, D, BD)
        d_rate += tl.load(d_lr + program * n + token, exists, 0.0)
    store_tokens(d_k, d_keys, program, n, token, exists, D, BD)
    store_tokens(d_v, d_target, program, n, token, exists, D, BD)
    tl.store(d_lr + program * n + token, d_rate, exists)
    d_norm += share * (2 * D)
    store_bias(d_norm, tl.sum(error * d_error - normed * d_target, 0), D, D == BD, BD)
    store_bias(d_norm + D, -tl.sum(d_target, 0), D, D == BD, BD)
