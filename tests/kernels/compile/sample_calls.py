"""Small kernels that use memory rightly and wrongly, with calls, as operators have them."""

from collections.abc import Callable
from functools import partial

import torch
import triton
import triton.language as tl
from torch import Tensor

N, ROWS = 128, 4
"""As many numbers as a program has threads, and programs."""


@triton.jit
def turned(x, y, N: tl.constexpr, BARRIER: tl.constexpr):
    """Store a square, and load it with the last row first: other threads' numbers."""
    rows, columns = tl.arange(0, N)[:, None], tl.arange(0, N)[None, :]
    tl.store(y + rows * N + columns, tl.load(x + rows * N + columns) + 1)
    if BARRIER:
        tl.debug_barrier()
    tl.store(x + rows * N + columns, tl.load(y + (N - 1 - rows) * N + columns))


@triton.jit
def around(x, y, turns, N: tl.constexpr, BARRIER: tl.constexpr):
    """Each round loads what the one before has stored, and only the way back is without barrier."""
    at = tl.arange(0, N)
    for turn in range(turns):
        other = tl.load(y + (at + turn) % N)
        tl.debug_barrier()
        tl.store(y + at, other + 1)
        if BARRIER:
            tl.debug_barrier()
    tl.store(x + at, at)


@triton.jit
def ahead(x, y, turns, N: tl.constexpr, STRIDE: tl.constexpr):
    """Numbers are fetched two rounds ahead, and stored into their own or those of the next."""
    at = tl.arange(0, N)
    for turn in tl.range(0, turns, num_stages=3):
        here = tl.load(x + turn * N + at)
        tl.store(x + (turn + STRIDE) * N + at, here + 1)
    tl.store(y + at, at)


@triton.jit
def shared(x, y, WIDTH: tl.constexpr, N: tl.constexpr):
    """Programs add to parts of N numbers of which each begins WIDTH after the one before."""
    at = tl.program_id(0) * WIDTH + tl.arange(0, N)
    tl.store(y + at, tl.load(x + at))


def square() -> Tensor:
    return torch.empty(N, N, device="meta")


def calls() -> dict[str, Callable[[], None]]:
    """Right and wrong."""
    x, y = square(), square()
    return {
        "turned with a barrier": partial(turned[(1,)], x, y, N, True),
        "turned without": partial(turned[(1,)], x, y, N, False),
        "around with a barrier": partial(around[(1,)], x, y, 3, N, True),
        "around without": partial(around[(1,)], x, y, 3, N, False),
        "ahead of itself": partial(ahead[(1,)], x, y, 4, N, 0),
        "ahead of the next": partial(ahead[(1,)], x, y, 4, N, 1),
        "programs apart": partial(shared[(ROWS,)], x, y, N, N),
        "programs over each other": partial(shared[(ROWS,)], x, y, N // 2, N),
        "in place": partial(shared[(ROWS,)], x, x, N, N),
        "in place, over each other": partial(shared[(ROWS,)], x, x, N // 2, N),
        "beyond the end": partial(shared[(N + 1,)], x, y, N, N),
    }
