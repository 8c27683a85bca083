"""What the GPU kernels of TTT-Linear share: tiles in memory, the norm, the inner loss's slopes.

A tile has a mini-batch's tokens as rows, in the order of reading, and the channels of one head as
columns; both are rounded up to a power of two and the surplus holds zeros. It is float32 whatever
the memory holds.
"""

from typing import no_type_check

import triton
import triton.language as tl


@triton.jit
@no_type_check
def own_sequence():
    """Which sequence a program has, and of how many: heads and samples are axes of their own in the
    grid, neither of which may be longer than 65,535."""
    heads, samples = tl.num_programs(1).to(tl.int64), tl.num_programs(2).to(tl.int64)
    return tl.program_id(2).to(tl.int64) * heads + tl.program_id(1), heads * samples


@triton.jit
@no_type_check
def place(sequence, chunk, block, n, t, turned, BT: tl.constexpr):
    """Where the first token of a mini-batch's block lies, the way to the next, and their number."""
    start = chunk * t + block * BT
    token = tl.where(turned != 0, n - 1 - start, start)
    way = tl.where(turned != 0, -1, 1)
    return sequence * n + token, way, tl.minimum(t, n - chunk * t) - block * BT


@triton.jit
@no_type_check
def is_there(rows, columns, count, D: tl.constexpr, BD: tl.constexpr):
    """Which entries of a tile are not surplus."""
    if D == BD:
        return (rows < count)[:, None]
    else:
        return (rows < count)[:, None] & (columns < D)[None, :]


@triton.jit
@no_type_check
def load_rows(memory, first, way, count, D: tl.constexpr, BT: tl.constexpr, BD: tl.constexpr):
    """Tokens `first`, `first + way`, ... of which `count` are there, [BT, BD]."""
    rows, columns = tl.arange(0, BT), tl.arange(0, BD)
    at = memory + first * D + (rows * way)[:, None] * D + columns[None, :]
    there = is_there(rows, columns, count, D, BD)
    return tl.load(at, mask=there, other=0.0).to(tl.float32)


@triton.jit
@no_type_check
def store_rows(memory, first, way, count, x, D: tl.constexpr, BT: tl.constexpr, BD: tl.constexpr):
    rows, columns = tl.arange(0, BT), tl.arange(0, BD)
    at = memory + first * D + (rows * way)[:, None] * D + columns[None, :]
    there = is_there(rows, columns, count, D, BD)
    tl.store(at, x.to(memory.dtype.element_ty), mask=there)


@triton.jit
@no_type_check
def load_each(memory, first, way, count, BT: tl.constexpr):
    """One number per token, [BT]."""
    rows = tl.arange(0, BT)
    return tl.load(memory + first + rows * way, mask=rows < count, other=0.0).to(tl.float32)


@triton.jit
@no_type_check
def store_each(memory, first, way, count, x, BT: tl.constexpr):
    rows = tl.arange(0, BT)
    tl.store(memory + first + rows * way, x.to(memory.dtype.element_ty), mask=rows < count)


@triton.jit
@no_type_check
def load_row(memory, at, D: tl.constexpr, BD: tl.constexpr):
    """One number per channel, [BD]."""
    columns = tl.arange(0, BD)
    return tl.load(memory + at * D + columns, mask=columns < D, other=0.0).to(tl.float32)


@triton.jit
@no_type_check
def store_row(memory, at, x, D: tl.constexpr, BD: tl.constexpr):
    columns = tl.arange(0, BD)
    tl.store(memory + at * D + columns, x, mask=columns < D)


@triton.jit
@no_type_check
def load_square(memory, at, D: tl.constexpr, BD: tl.constexpr):
    """The weight [BD, BD] whose first row is row number `at`."""
    rows = tl.arange(0, BD)
    square = memory + at * D + rows[:, None] * D + rows[None, :]
    if D == BD:
        return tl.load(square).to(tl.float32)
    else:
        there = (rows < D)[:, None] & (rows < D)[None, :]
        return tl.load(square, mask=there, other=0.0).to(tl.float32)


@triton.jit
@no_type_check
def load_state(memory, at, D: tl.constexpr, BD: tl.constexpr):
    """State number `at`: its weight [BD, BD] and its bias [BD], which is the last row."""
    return load_square(memory, at * (D + 1), D, BD), load_row(memory, at * (D + 1) + D, D, BD)


@triton.jit
@no_type_check
def store_state(memory, at, W, b, D: tl.constexpr, BD: tl.constexpr):
    rows = tl.arange(0, BD)
    square = memory + at * (D + 1) * D + rows[:, None] * D + rows[None, :]
    if D == BD:
        tl.store(square, W)
    else:
        tl.store(square, W, mask=(rows < D)[:, None] & (rows < D)[None, :])
    store_row(memory, at * (D + 1) + D, b, D, BD)


@triton.jit
@no_type_check
def product(x, y, DOT: tl.constexpr, PRECISION: tl.constexpr):
    """x y, with operands in the type DOT and a sum in float32."""
    return tl.dot(x.to(DOT), y.to(DOT), input_precision=PRECISION)


@triton.jit
@no_type_check
def mean(x, D: tl.constexpr):
    """Over the channels, [BT, 1]."""
    return (tl.sum(x, 1) * (1.0 / D))[:, None]


@triton.jit
@no_type_check
def only_channels(x, D: tl.constexpr, BD: tl.constexpr):
    """Zero in the surplus channels."""
    if D == BD:
        return x
    else:
        return tl.where(tl.arange(0, BD)[None, :] < D, x, 0.0)


@triton.jit
@no_type_check
def normalise(z, eps, D: tl.constexpr, BD: tl.constexpr):
    """The norm without scale and shift [BT, BD], and 1 / standard deviation [BT, 1]."""
    z = only_channels(z - mean(z, D), D, BD)
    rstd = 1.0 / tl.sqrt(mean(z * z, D) + eps)
    return z * rstd, rstd


@triton.jit
@no_type_check
def norm_backward(x, normed, rstd, D: tl.constexpr, BD: tl.constexpr):
    """The gradient of what was normalised from that of the norm, x."""
    return slope_of(x, normed, rstd, mean(x, D), mean(x * normed, D), D, BD)


@triton.jit
@no_type_check
def slope_of(scaled, normed, rstd, level, along, D: tl.constexpr, BD: tl.constexpr):
    """The same, from means that are known: `level` of x and `along` of x times the norm."""
    return rstd * only_channels(scaled - level - normed * along, D, BD)


@triton.jit
@no_type_check
def scaled_error(normed, k, v, gamma, beta):
    """gamma (LN(z) - (v - k)), whose `norm_backward` is the inner gradient."""
    return gamma * (gamma * normed + beta - v + k)


@triton.jit
@no_type_check
def slope_backward(
    normed, rstd, scaled, level, along, d_slope, gamma, D: tl.constexpr, BD: tl.constexpr
):
    """Gradients of the scaled error and of z from that of the slope, as in ../inner_loss.py.

    `level` and `along` are the means of scaled and of scaled times normed: with them, the mean of
    d_slope times slope needs no slope.
    """
    d_level, d_along = mean(d_slope, D), mean(d_slope * normed, D)
    length = rstd * (mean(d_slope * scaled, D) - level * d_level - along * d_along)
    d_scaled = slope_of(d_slope, normed, rstd, d_level, d_along, D, BD)
    d_normed = gamma * gamma * d_scaled - rstd * (d_slope * along + scaled * d_along)
    d_along = mean(d_normed * normed, D) + length
    return d_scaled, slope_of(d_normed, normed, rstd, mean(d_normed, D), d_along, D, BD)


@triton.jit
@no_type_check
def is_seen(ahead, BT: tl.constexpr):
    """Which keys a query sees, [BT, BT], of a block of queries `ahead` tokens ahead of the keys."""
    rows = tl.arange(0, BT)
    return (rows + ahead)[:, None] >= rows[None, :]


@triton.jit
@no_type_check
def similarity(q, k, DOT: tl.constexpr, PRECISION: tl.constexpr):
    """QKᵀ + 1; the one is the bias, which every query and key has in common."""
    return product(q, tl.trans(k), DOT, PRECISION) + 1.0


@triton.jit
@no_type_check
def update(
    k,
    v,
    step,
    W,
    b,
    gamma,
    beta,
    eps,
    D: tl.constexpr,
    BD: tl.constexpr,
    DOT: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """The inner gradients of a block of tokens, and what it takes from the state."""
    normed, rstd = normalise(product(k, W, DOT, PRECISION) + b[None, :], eps, D, BD)
    slope = norm_backward(scaled_error(normed, k, v, gamma, beta), normed, rstd, D, BD)
    stepped = step[:, None] * slope
    return slope, product(tl.trans(k), stepped, DOT, PRECISION), tl.sum(stepped, 0)
