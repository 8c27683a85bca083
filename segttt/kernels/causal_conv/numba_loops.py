"""The causal convolution as loops over tokens, taps and channels, compiled for this processor.

A task is a run of tokens of one sample, all channels wide; its rows stay in the innermost cache.
Nothing follows the order of reading: rows of x are walked as they lie in memory, and a scan that
reads backwards has its taps in reverse and its answer `reach` - 1 rows further back.
"""

from collections.abc import Callable
from functools import partial
from typing import no_type_check

import numpy as np
from numba import njit

from segttt.kernels.numba_cache import kept
from segttt.kernels.selective_scan.numba_math import VECTORS, sigmoid

RUN = 256
"""Tokens of a task. Its neighbours' tokens that it needs, too, are some 2 % more work."""

ZERO, ONE = np.float32(0), np.float32(1)


@partial(kept, loops={"nogil": True, **VECTORS})
def forward(sources: int) -> Callable[..., None]:
    @no_type_check
    def forward(part, backwards, silu, given, steps, out) -> None:
        """Write `out` [b, g, n, d] for the tasks from part[0] to part[1].

        `given` is x, one number after the other, taps [g, r, d] and bias [g, d]; `steps` is how far
        samples, scans and tokens of x lie apart.
        """
        _ = sources
        x, taps, bias = given
        _, scans, n, d = out.shape
        runs, behind = -(-n // RUN), taps.shape[1] - 1
        for task in range(part[0], part[1]):
            b, g, first = task // runs // scans, task // runs % scans, task % runs * RUN
            rows = x[b * steps[0] + g * steps[1] :]
            for t in range(first, min(n, first + RUN)):
                last = t + behind if backwards[g] else t
                now = out[b, g, t]
                _before(now, rows, steps[2], last, n, taps[g], bias[g])
                if silu:
                    for c in range(d):
                        now[c] = now[c] * sigmoid(now[c])

    return forward


@partial(kept, loops={"nogil": True, **VECTORS})
def backward(sources: int) -> Callable[..., None]:
    @no_type_check
    def backward(part, backwards, silu, given, steps, d_out, d_x, sums) -> None:
        """Write `d_x` [b, k, n, d] and `sums` for the tasks from part[0] to part[1].

        `given` and `steps` are those of `forward`. `sums` [tasks, scans, r + 1, d] are the
        gradients of the taps, and of the bias behind them, of the g / k scans of each task.
        """
        _ = sources
        x, taps, bias = given
        _, kinds, n, d = d_x.shape
        runs, reach, scans = -(-n // RUN), taps.shape[1], sums.shape[1]
        behind = reach - 1
        asked = np.empty((scans, reach, d), np.float32)
        for task in range(part[0], part[1]):
            b, k, first = task // runs // kinds, task // runs % kinds, task % runs * RUN
            rows, end = x[b * steps[0] + k * steps[1] :], min(n, first + RUN)
            sums[task].fill(ZERO)
            for p in range(first, end + behind):
                for scan in range(scans):
                    g = k * scans + scan
                    t, now = p - behind if backwards[g] else p, asked[scan, p % reach]
                    if t < 0 or t >= n:
                        now.fill(ZERO)
                        continue
                    _ask(now, rows, steps[2], p, n, taps[g], bias[g], d_out[b, g, t], silu)
                    if first <= t < end:
                        _learn(sums[task, scan], now, rows, steps[2], p, n)
                if p >= first + behind:
                    here = d_x[b, k, p - behind]
                    here.fill(ZERO)
                    for scan in range(scans):
                        for r in range(reach):
                            _add(here, taps[k * scans + scan, r], asked[scan, (p - r) % reach])

    return backward


@njit(inline="always", **VECTORS)
@no_type_check
def _add(total, weight, row) -> None:
    """total += weight * row"""
    for c in range(len(total)):
        total[c] += weight[c] * row[c]


@njit(inline="always", **VECTORS)
@no_type_check
def _row(rows, step, t, d):
    return rows[t * step : t * step + d]


@njit(inline="always", **VECTORS)
@no_type_check
def _before(now, rows, step, last, n, taps, bias) -> None:
    """What a token is before the activation; its last tap is for row `last`."""
    for c in range(len(now)):
        now[c] = bias[c]
    for r in range(len(taps)):
        t = last - len(taps) + 1 + r
        if 0 <= t < n:
            _add(now, taps[r], _row(rows, step, t, len(now)))


@njit(inline="always", **VECTORS)
@no_type_check
def _ask(now, rows, step, last, n, taps, bias, d_out, silu) -> None:
    """The gradient of `_before`."""
    if not silu:
        for c in range(len(now)):
            now[c] = d_out[c]
        return
    _before(now, rows, step, last, n, taps, bias)
    for c in range(len(now)):
        opening = sigmoid(now[c])
        now[c] = d_out[c] * (opening + opening * now[c] * (ONE - opening))


@njit(inline="always", **VECTORS)
@no_type_check
def _learn(sums, asked, rows, step, last, n) -> None:
    """Add a token's part to the gradients of taps and bias."""
    reach, d = len(sums) - 1, len(asked)
    for r in range(reach):
        t = last - reach + 1 + r
        if 0 <= t < n:
            _add(sums[r], asked, _row(rows, step, t, d))
    for c in range(d):
        sums[reach, c] += asked[c]
