"""Tiles of the inner width: BW of the W columns of [W1; b1] with the same rows of [W2; b2]."""

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
    columns, inner = tl.arange(0, BD), tile + tl.arange(0, BW)
    w1 = tl.load(
        first + columns[:, None] * W + inner[None, :],
        (columns < D)[:, None] & (inner < W)[None, :],
        0.0,
    )
    c1 = tl.load(first + D * W + inner, inner < W, 0.0)
    w2 = tl.load(
        second + inner[:, None] * D + columns[None, :],
        (inner < W)[:, None] & (columns < D)[None, :],
        0.0,
    )
    return w1, c1, w2


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
    columns, inner = tl.arange(0, BD), tile + tl.arange(0, BW)
    tl.store(
        first + columns[:, None] * W + inner[None, :],
        w1,
        (columns < D)[:, None] & (inner < W)[None, :],
    )
    tl.store(first + D * W + inner, c1, inner < W)
    tl.store(
        second + inner[:, None] * D + columns[None, :],
        w2,
        (inner < W)[:, None] & (columns < D)[None, :],
    )


@triton.jit
@no_type_check
def load_bias(second, D: tl.constexpr, W: tl.constexpr, BD: tl.constexpr):
    """b2 [BD]."""
    columns = tl.arange(0, BD)
    return tl.load(second + W * D + columns, columns < D, 0.0)


@triton.jit
@no_type_check
def store_bias(second, c2, D: tl.constexpr, W: tl.constexpr, BD: tl.constexpr):
    """The inverse of `load_bias`."""
    columns = tl.arange(0, BD)
    tl.store(second + W * D + columns, c2, columns < D)


@triton.jit
@no_type_check
def load_rows(x, tile, t, W: tl.constexpr, BT: tl.constexpr, BW: tl.constexpr):
    """Columns from `tile` on of x [t, W], as [BT, BW] with zeros beyond."""
    rows, inner = tl.arange(0, BT)[:, None], tile + tl.arange(0, BW)[None, :]
    return tl.load(x + rows * W + inner, (rows < t) & (inner < W), 0.0)


@triton.jit
@no_type_check
def store_rows(x, value, tile, t, W: tl.constexpr, BT: tl.constexpr, BW: tl.constexpr):
    """The inverse of `load_rows`."""
    rows, inner = tl.arange(0, BT)[:, None], tile + tl.arange(0, BW)[None, :]
    tl.store(x + rows * W + inner, value, (rows < t) & (inner < W))
