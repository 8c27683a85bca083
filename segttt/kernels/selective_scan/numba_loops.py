"""The selective scan as loops over tokens, states and channels, compiled for this processor.

A task is a row, which is a sample and a scan, and a block of `BLOCK` channels. It keeps its states
in the innermost cache and walks the tokens in the order of its scan, chunk by chunk: a chunk is
copied first, so that the waits for its tokens, which lie far apart, overlap. What the innermost
loop reads and writes are parts of two or three arrays: the compiler must see that nothing overlaps.
"""

from collections.abc import Callable
from functools import partial
from typing import no_type_check

import numpy as np
from numba import njit

from segttt.kernels.numba_cache import kept
from segttt.kernels.selective_scan.cpu import CHUNK
from segttt.kernels.selective_scan.numba_math import LOG2_E, exp2, sigmoid, softplus

BLOCK = 64
"""Channels of a task, four vectors of AVX-512. With 32 both passes take 10 to 30 % longer, with 128
up to 8 % less time, but half as many threads find work."""

LOOPS = {"fastmath": {"contract", "reassoc", "nsz", "arcp"}, "error_model": "numpy"}
"""A sum over channels may be taken in any one order and a division need not be watched, so that all
runs in vectors. What is not a number stays so: a training that diverges must show."""

# What a task has per channel: for each token of a chunk; for each state; for each of both; alone.
RAW, DELTA, MOVED, U, Y, D_Y, D_MOVED, D_DELTA = range(8)
RATE, SLOPE, STATE, LATER, D_A = range(5)  # A / ln 2, A, h, q and the gradient of A
DECAY, BEFORE = range(2)
D_D, D_BIAS = range(2)

ZERO = np.float32(0)


@partial(kept, loops={"nogil": True, **LOOPS})
def forward(sources: int) -> Callable[..., None]:
    @no_type_check
    def forward(part, backwards, given, out, starts) -> None:
        """Write `out` and `starts` for the tasks from part[0] to part[1].

        `given` is u, dt [b, g, n, d], A [g, s, d], B, C [b, g, n, s] and D, bias [g, d];
        backwards [g], out [b, g, n, d], starts [m, b, g, s, d].
        """
        _ = sources
        u, dt, A, B, C, D, bias = given
        scans, n, blocks, chunks = u.shape[1], u.shape[2], -(-u.shape[3] // BLOCK), len(starts)
        tokens = np.zeros((CHUNK, 8, BLOCK), np.float32)
        fixed = np.zeros((A.shape[1], 5, BLOCK), np.float32)
        for task in range(part[0], part[1]):
            b, g, low = task // blocks // scans, task // blocks % scans, task % blocks * BLOCK
            wide = slice(low, min(low + BLOCK, u.shape[3]))
            _enter(tokens, fixed, A[g], wide)
            for index in range(chunks):
                chunk = chunks - 1 - index if backwards[g] else index
                here = slice(chunk * CHUNK, min(n, chunk * CHUNK + CHUNK))
                _put(starts[chunk, b, g], fixed, STATE, wide)
                _read(tokens, u[b, g, here], dt[b, g, here], bias[g], wide)
                _answer(tokens, fixed, B[b, g, here], C[b, g, here], backwards[g])
                _write(tokens, D[g], out[b, g, here], wide)

    return forward


@partial(kept, loops={"nogil": True, **LOOPS})
def backward(sources: int) -> Callable[..., None]:
    @no_type_check
    def backward(part, backwards, d_out, starts, given, grads) -> None:
        """Write the gradients for the tasks from part[0] to part[1].

        `given` is that of `forward`. `grads` is the same, but A [b, g, s, d], D and bias
        [b, g, d] per sample, and B and C [blocks, b, g, n, s] per block of channels.
        """
        _ = sources
        u, dt, A, B, C, D, bias = given
        d_u, d_dt, d_A, d_B, d_C, d_D, d_bias = grads
        scans, n, blocks, chunks = u.shape[1], u.shape[2], -(-u.shape[3] // BLOCK), len(starts)
        tokens = np.zeros((CHUNK, 8, BLOCK), np.float32)
        fixed = np.zeros((A.shape[1], 5, BLOCK), np.float32)
        walked = np.empty((CHUNK, A.shape[1], 2, BLOCK), np.float32)
        for task in range(part[0], part[1]):
            b, g, block = task // blocks // scans, task // blocks % scans, task % blocks
            low, high = block * BLOCK, min(block * BLOCK + BLOCK, u.shape[3])
            wide, sums = slice(low, high), np.zeros((2, BLOCK), np.float32)
            _enter(tokens, fixed, A[g], wide)
            for index in range(chunks):
                chunk = index if backwards[g] else chunks - 1 - index
                here = slice(chunk * CHUNK, min(n, chunk * CHUNK + CHUNK))
                _take(starts[chunk, b, g], fixed, STATE, wide)
                _read(tokens, u[b, g, here], dt[b, g, here], bias[g], wide)
                _copy(tokens, d_out[b, g, here], wide)
                _walk(tokens, fixed, walked, B[b, g, here], backwards[g])
                into = (d_B[block, b, g, here], d_C[block, b, g, here])
                _walk_back(
                    tokens, fixed, walked, (B[b, g, here], C[b, g, here]), into, backwards[g]
                )
                _leave(tokens, sums, D[g], d_u[b, g, here], d_dt[b, g, here], wide)
            _put(d_A[b, g], fixed, D_A, wide)
            for i in range(high - low):
                d_D[b, g, low + i], d_bias[b, g, low + i] = sums[D_D, i], sums[D_BIAS, i]

    return backward


@njit(inline="always", **LOOPS)
@no_type_check
def _enter(tokens, fixed, A, wide):
    """Nothing has been read yet. Channels beyond the last are zero throughout."""
    tokens.fill(ZERO)
    fixed.fill(ZERO)
    _take(A, fixed, SLOPE, wide)
    for s in range(len(fixed)):
        for i in range(BLOCK):
            fixed[s, RATE, i] = fixed[s, SLOPE, i] * LOG2_E


@njit(inline="always", **LOOPS)
@no_type_check
def _take(values, fixed, which, wide):
    """values [s, d] -> fixed"""
    for s in range(len(fixed)):
        now = values[s, wide]
        for i in range(len(now)):
            fixed[s, which, i] = now[i]


@njit(inline="always", **LOOPS)
@no_type_check
def _put(values, fixed, which, wide):
    """fixed -> values [s, d]"""
    for s in range(len(fixed)):
        now = values[s, wide]
        for i in range(len(now)):
            now[i] = fixed[s, which, i]


@njit(inline="always", **LOOPS)
@no_type_check
def _read(tokens, u, dt, bias, wide):
    """What the tokens of a chunk do to the states; u, dt [t, d]."""
    bias = bias[wide]
    for t in range(len(u)):
        u_, dt_ = u[t, wide], dt[t, wide]
        for i in range(len(bias)):
            tokens[t, RAW, i] = dt_[i] + bias[i]
            tokens[t, U, i] = u_[i]
    for t in range(len(u)):
        for i in range(BLOCK):
            delta = softplus(tokens[t, RAW, i])
            tokens[t, DELTA, i] = delta
            tokens[t, MOVED, i] = delta * tokens[t, U, i]
            tokens[t, Y, i] = ZERO


@njit(inline="always", **LOOPS)
@no_type_check
def _answer(tokens, fixed, B, C, backwards):
    """Take the states over a chunk and add up what they answer; B, C [t, s]."""
    for step in range(len(B)):
        t = len(B) - 1 - step if backwards else step
        now = tokens[t]
        for s in range(len(fixed)):
            one, enter, leave = fixed[s], B[t, s], C[t, s]
            for i in range(BLOCK):
                decay = exp2(now[DELTA, i] * one[RATE, i])
                state = decay * one[STATE, i] + now[MOVED, i] * enter
                one[STATE, i] = state
                now[Y, i] += leave * state


@njit(inline="always", **LOOPS)
@no_type_check
def _write(tokens, D, out, wide):
    """out [t, d]"""
    D = D[wide]
    for t in range(len(out)):
        now = out[t, wide]
        for i in range(len(D)):
            now[i] = tokens[t, Y, i] + D[i] * tokens[t, U, i]


@njit(inline="always", **LOOPS)
@no_type_check
def _copy(tokens, d_out, wide):
    """What is asked of a chunk; d_out [t, d]."""
    for t in range(len(d_out)):
        tokens[t, D_MOVED].fill(ZERO)
        tokens[t, D_DELTA].fill(ZERO)
        now = d_out[t, wide]
        for i in range(len(now)):
            tokens[t, D_Y, i] = now[i]


@njit(inline="always", **LOOPS)
@no_type_check
def _walk(tokens, fixed, walked, B, backwards):
    """Take the states over a chunk and keep what they were before each token."""
    for step in range(len(B)):
        t = len(B) - 1 - step if backwards else step
        now = tokens[t]
        for s in range(len(fixed)):
            one, kept, enter = fixed[s], walked[t, s], B[t, s]
            for i in range(BLOCK):
                decay = exp2(now[DELTA, i] * one[RATE, i])
                state = one[STATE, i]
                kept[DECAY, i] = decay
                kept[BEFORE, i] = state
                one[STATE, i] = decay * state + now[MOVED, i] * enter


@njit(inline="always", **LOOPS)
@no_type_check
def _walk_back(tokens, fixed, walked, given, into, backwards):
    """Take the gradients of the states back over a chunk; `given` are B, C, `into` theirs."""
    B, C = given
    d_B, d_C = into
    for step in range(len(B)):
        t = step if backwards else len(B) - 1 - step
        now = tokens[t]
        for s in range(len(fixed)):
            one, kept, enter, leave = fixed[s], walked[t, s], B[t, s], C[t, s]
            d_enter, d_leave = ZERO, ZERO
            for i in range(BLOCK):
                decay, before = kept[DECAY, i], kept[BEFORE, i]
                d_state = leave * now[D_Y, i] + one[LATER, i]
                d_leave += now[D_Y, i] * (decay * before + now[MOVED, i] * enter)
                d_enter += now[MOVED, i] * d_state
                later = decay * d_state
                d_exponent = later * before
                one[LATER, i] = later
                one[D_A, i] += d_exponent * now[DELTA, i]
                now[D_MOVED, i] += d_state * enter
                now[D_DELTA, i] += d_exponent * one[SLOPE, i]
            d_B[t, s], d_C[t, s] = d_enter, d_leave


@njit(inline="always", **LOOPS)
@no_type_check
def _leave(tokens, sums, D, d_u, d_dt, wide):
    """Write the gradients of a chunk's u and dt, and add to those of D and bias."""
    for t in range(len(d_u)):
        for i in range(BLOCK):
            d_delta = tokens[t, D_DELTA, i] + tokens[t, U, i] * tokens[t, D_MOVED, i]
            d_raw = d_delta * sigmoid(tokens[t, RAW, i])
            tokens[t, D_DELTA, i] = d_raw
            sums[D_BIAS, i] += d_raw
            sums[D_D, i] += tokens[t, D_Y, i] * tokens[t, U, i]
    D = D[wide]
    for t in range(len(d_u)):
        d_u_, d_dt_ = d_u[t, wide], d_dt[t, wide]
        for i in range(len(D)):
            d_u_[i] = tokens[t, DELTA, i] * tokens[t, D_MOVED, i] + D[i] * tokens[t, D_Y, i]
            d_dt_[i] = tokens[t, D_DELTA, i]
