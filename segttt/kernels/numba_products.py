"""Products of small matrices in compiled loops, and how tokens come to them and leave.

A block of tokens is a matrix of channels x `BLOCK`. Its tokens and channels are padded with zeros
to multiples of `LANES`, so that tiles may reach beyond the last ones.
"""

from typing import Any, no_type_check

import numpy as np
from numba import njit

from segttt.kernels.numba_lanes import LANES, load, read, spread, store, write, zeros

BLOCK = 64
"""Tokens of a block. A mini-batch of 64, as most are, is one, and the matrices of one block with 32
channels, 8 kB each, stay in the inner caches."""

LOOPS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
INNER: dict[str, Any] = LOOPS | {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""For loops that only loops call: a way in for Python would take a third of the time to compile."""


@njit(**INNER)
@no_type_check
def strip(C, A, B, rows, low, high, lane, add) -> None:
    """A[:rows, low:high] B[low:high], 16 columns of it, to or onto C[:rows] from `lane` on.

    Rows are taken in fours; those up to the next multiple of four are written too.
    """
    for i in range(0, rows, 4):
        c0, c1, c2, c3 = zeros(), zeros(), zeros(), zeros()
        if add:
            c0, c1 = load(C, i, lane), load(C, i + 1, lane)
            c2, c3 = load(C, i + 2, lane), load(C, i + 3, lane)
        for k in range(low, high):
            b = load(B, k, lane)
            c0 = c0 + spread(A, i, k) * b
            c1 = c1 + spread(A, i + 1, k) * b
            c2 = c2 + spread(A, i + 2, k) * b
            c3 = c3 + spread(A, i + 3, k) * b
        store(c0, C, i, lane)
        store(c1, C, i + 1, lane)
        store(c2, C, i + 2, lane)
        store(c3, C, i + 3, lane)


@njit(**INNER)
@no_type_check
def product(C, A, B, rows, depth, wide, add) -> None:
    """A[:rows, :depth] B[:depth, :wide] to or onto C."""
    for lane in range(0, wide, LANES):
        strip(C, A, B, rows, 0, depth, lane, add)


@njit(**INNER)
@no_type_check
def arrive(block, tokens, first, step, count) -> None:
    """Copy `count` tokens [n, d] from `first` on, `step` apart, into a block."""
    for lane in range(0, count, LANES):
        for c in range(0, tokens.shape[1], LANES):
            here, wide = first + step * lane, tokens.shape[1] - c
            read(tokens, here, c, step, count - lane, wide, block, c, lane)


@njit(**INNER)
@no_type_check
def leave(block, tokens, first, step, count) -> None:
    """Copy a block to where `arrive` took it from."""
    for lane in range(0, count, LANES):
        for c in range(0, tokens.shape[1], LANES):
            here, wide = first + step * lane, tokens.shape[1] - c
            write(tokens, here, c, step, count - lane, wide, block, c, lane)


@njit(**INNER)
@no_type_check
def turn(matrix, turned, rows, low, high) -> None:
    """Copy matrix[:rows, low:high] to turned[low:high, :rows], all multiples of `LANES`."""
    for lane in range(low, high, LANES):
        for i in range(0, rows, LANES):
            read(matrix, i, lane, 1, LANES, LANES, turned, lane, i)


@njit(**INNER)
@no_type_check
def copy(source, target, rows, wide) -> None:
    """Copy the first rows and columns."""
    for i in range(rows):
        for j in range(wide):
            target[i, j] = source[i, j]


@njit(**INNER)
@no_type_check
def add_to(target, source) -> None:
    """target += source"""
    for i in range(target.shape[0]):
        for j in range(target.shape[1]):
            target[i, j] += source[i, j]


@njit(**INNER)
@no_type_check
def clear(matrix) -> None:
    """Fill with zeros."""
    for i in range(matrix.shape[0]):
        for j in range(matrix.shape[1]):
            matrix[i, j] = np.float32(0)


@njit(**INNER)
@no_type_check
def multiply(block, factor, result, rows, count) -> None:
    """block * factor in the first rows, zero in those up to the next multiple of four."""
    for lane in range(0, count, LANES):
        for i in range(rows):
            store(load(block, i, lane) * load(factor, i, lane), result, i, lane)
        for i in range(rows, -(-rows // 4) * 4):
            store(zeros(), result, i, lane)
