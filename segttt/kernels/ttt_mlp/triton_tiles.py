"""Tiles in memory: of the inner weights, of what lies between kernels, and of a head's tokens.

A tile of the weights is BW of the W columns of [W1; b1] with the same rows of [W2; b2].
"""

from typing import no_type_check

import triton
import triton.language as tl


@triton.jit
@no_type_check
def load_tile(
    first, second, tile, D: tl.constexpr, W: tl.constexpr, BD: tl.constexpr, BW: tl.constexpr
):
    """W1 [BD, BW], b1 [BW] and W2 [BW, BD] of one program, zeros beyond the real ones.

    first [D + 1, W] and second [W + 1, D] are where that program's states begin.
    """
    return (
        load_rows(first, 0, tile, D, W, BD, BW),
        load_bias(first + D * W + tile, W - tile, W % BW == 0, BW),
        load_rows(second, tile, 0, W, D, BW, BD),
    )


@triton.jit
@no_type_check
def store_tile(
    first,
    second,
    tile,
    w1,
    c1,
    w2,
    D: tl.constexpr,
    W: tl.constexpr,
    BD: tl.constexpr,
    BW: tl.constexpr,
):
    """The inverse of `load_tile`."""
    store_rows(first, w1, 0, tile, D, W, BD, BW)
    store_bias(first + D * W + tile, c1, W - tile, W % BW == 0, BW)
    store_rows(second, w2, tile, 0, W, D, BW, BD)


@triton.jit
@no_type_check
def load_bias(x, length, WHOLE: tl.constexpr, B: tl.constexpr):
    """x [B], zeros from `length` on, which is B or more where WHOLE."""
    at = tl.arange(0, B)
    if WHOLE:
        return tl.load(x + at).to(tl.float32)
    else:
        return tl.load(x + at, at < length, 0.0).to(tl.float32)


@triton.jit
@no_type_check
def store_bias(x, value, length, WHOLE: tl.constexpr, B: tl.constexpr):
    """The inverse of `load_bias`."""
    at = tl.arange(0, B)
    if WHOLE:
        tl.store(x + at, value)
    else:
        tl.store(x + at, value, at < length)


@triton.jit
@no_type_check
def load_rows(x, row, column, H: tl.constexpr, W: tl.constexpr, BH: tl.constexpr, BW: tl.constexpr):
    """Rows from `row` on and columns from `column` on of x [H, W], zeros beyond, [BH, BW]."""
    rows, columns = row + tl.arange(0, BH)[:, None], column + tl.arange(0, BW)[None, :]
    at = x + rows * W + columns
    if H % BH == 0:
        if W % BW == 0:
            return tl.load(at)
        else:
            return tl.load(at, columns < W, 0.0)
    else:
        if W % BW == 0:
            return tl.load(at, rows < H, 0.0)
        else:
            return tl.load(at, (rows < H) & (columns < W), 0.0)


@triton.jit
@no_type_check
def store_rows(
    x, value, row, column, H: tl.constexpr, W: tl.constexpr, BH: tl.constexpr, BW: tl.constexpr
):
    """The inverse of `load_rows`."""
    rows, columns = row + tl.arange(0, BH)[:, None], column + tl.arange(0, BW)[None, :]
    at = x + rows * W + columns
    if H % BH == 0:
        if W % BW == 0:
            tl.store(at, value)
        else:
            tl.store(at, value, columns < W)
    else:
        if W % BW == 0:
            tl.store(at, value, rows < H)
        else:
            tl.store(at, value, (rows < H) & (columns < W))


@triton.jit
@no_type_check
def load_tokens(x, program, n, token, exists, D: tl.constexpr, BD: tl.constexpr):
    """Tokens of x [programs, n, D], zeros where there are none, [BT, BD]."""
    columns = tl.arange(0, BD)[None, :]
    at = x + (program * n + token[:, None]) * D + columns
    if D == BD:
        return tl.load(at, exists[:, None], 0.0).to(tl.float32)
    else:
        return tl.load(at, exists[:, None] & (columns < D), 0.0).to(tl.float32)


@triton.jit
@no_type_check
def store_tokens(x, value, program, n, token, exists, D: tl.constexpr, BD: tl.constexpr):
    """The inverse of `load_tokens`."""
    columns = tl.arange(0, BD)[None, :]
    at = x + (program * n + token[:, None]) * D + columns
    if D == BD:
        tl.store(at, value.to(x.dtype.element_ty), exists[:, None])
    else:
        tl.store(at, value.to(x.dtype.element_ty), exists[:, None] & (columns < D))
