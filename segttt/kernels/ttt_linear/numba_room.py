"""The room in which the compiled loops of TTT-Linear work.

A thread has one, and all tasks of its own use it, so that it stays in the inner caches. Of a
mini-batch it holds blocks [channels, BLOCK] and numbers of a block's tokens [1, BLOCK].
"""

from typing import NamedTuple

import numpy as np

from segttt.kernels.numba_arguments import blocks, padded, zeros
from segttt.kernels.numba_lanes import LANES
from segttt.kernels.numba_products import BLOCK


class ForwardRoom(NamedTuple):
    """What a forward pass has at hand."""

    state: np.ndarray  # [channels, channels], before the mini-batch
    after: np.ndarray
    keys: np.ndarray  # of all blocks, as the next two
    slopes: np.ndarray
    rates: np.ndarray
    queries: np.ndarray
    targets: np.ndarray
    z: np.ndarray
    rstd: np.ndarray
    similarity: np.ndarray  # [BLOCK, BLOCK]
    mixing: np.ndarray
    turned: np.ndarray  # [BLOCK, channels]


class BackwardRoom(NamedTuple):
    """What a backward pass has at hand."""

    state: np.ndarray  # [channels, channels], that the queries or the keys see
    d_state: np.ndarray  # of the state after the mini-batch
    grown: np.ndarray  # what the mini-batch adds to it
    keys: np.ndarray  # of all blocks, as those until `similarity`
    normed: np.ndarray
    error: np.ndarray
    slopes: np.ndarray
    d_keys: np.ndarray
    d_slopes: np.ndarray
    rates: np.ndarray
    rstd: np.ndarray
    d_rates: np.ndarray
    similarity: np.ndarray  # [BLOCK, BLOCK]
    queries: np.ndarray
    d_queries: np.ndarray
    z: np.ndarray
    d_z: np.ndarray
    z_rstd: np.ndarray
    mixings: tuple[np.ndarray, np.ndarray, np.ndarray]  # [BLOCK, BLOCK]
    turned: np.ndarray  # [BLOCK, channels]
    d_rho: np.ndarray  # of all blocks and of all mini-batches so far
    d_scale: np.ndarray  # [channels, LANES], of all mini-batches so far
    d_shift: np.ndarray


def forward_room(t: int, d: int) -> ForwardRoom:
    wide, high, m = padded(d), padded(d + 1), blocks(t)
    return ForwardRoom._make(
        [
            *(zeros(high, wide) for _ in range(2)),
            *(zeros(m, high, BLOCK) for _ in range(2)),
            zeros(m, 1, BLOCK),
            *(zeros(high, BLOCK) for _ in range(3)),
            zeros(1, BLOCK),
            *(zeros(BLOCK, BLOCK) for _ in range(2)),
            zeros(BLOCK, wide),
        ]
    )


def backward_room(t: int, d: int) -> BackwardRoom:
    wide, high, m = padded(d), padded(d + 1), blocks(t)
    return BackwardRoom._make(
        [
            *(zeros(high, wide) for _ in range(3)),
            *(zeros(m, high, BLOCK) for _ in range(6)),
            *(zeros(m, 1, BLOCK) for _ in range(3)),
            zeros(m, BLOCK, BLOCK),
            *(zeros(high, BLOCK) for _ in range(4)),
            zeros(1, BLOCK),
            (zeros(BLOCK, BLOCK), zeros(BLOCK, BLOCK), zeros(BLOCK, BLOCK)),
            zeros(BLOCK, wide),
            zeros(m, 1, BLOCK),
            *(zeros(high, LANES) for _ in range(2)),
        ]
    )
