"""The room in which the compiled loops of TTT-MLP work.

A thread has one, and all tasks of its own use it, so that it stays in the inner caches. Of a
mini-batch it holds blocks [channels or wide, BLOCK] and numbers of a block's tokens [1, BLOCK].
"""

from typing import NamedTuple

import numpy as np

from segttt.kernels.numba_arguments import blocks, padded, zeros
from segttt.kernels.numba_lanes import LANES
from segttt.kernels.numba_products import BLOCK


class ForwardRoom(NamedTuple):
    """What a forward pass has at hand."""

    first: np.ndarray  # [channels, wide], before the mini-batch
    first_after: np.ndarray
    second: np.ndarray  # [wide, channels]
    second_after: np.ndarray
    keys: np.ndarray  # of all blocks, as those until `queries`
    last_slopes: np.ndarray
    features: np.ndarray  # wide, as the next one
    slopes: np.ndarray
    rates: np.ndarray
    queries: np.ndarray
    targets: np.ndarray
    z: np.ndarray
    hidden: np.ndarray  # wide, as the next two
    steepness: np.ndarray
    weighed: np.ndarray
    rstd: np.ndarray
    similarity: np.ndarray  # [BLOCK, BLOCK]
    mixing: np.ndarray
    turned: np.ndarray  # [BLOCK, channels]
    turned_wide: np.ndarray  # [BLOCK, wide]


class BackwardRoom(NamedTuple):
    """What a backward pass has at hand."""

    first: np.ndarray  # [channels, wide], as the next two
    d_first: np.ndarray
    grown: np.ndarray
    second: np.ndarray  # [wide, channels], as the next two
    d_second: np.ndarray
    last_grown: np.ndarray
    keys: np.ndarray  # of all blocks, as those until `queries`
    normed: np.ndarray
    error: np.ndarray
    last_slopes: np.ndarray
    d_keys: np.ndarray
    d_last_slopes: np.ndarray
    features: np.ndarray  # wide, as the next five
    steepness: np.ndarray
    bend: np.ndarray
    slopes: np.ndarray
    d_features: np.ndarray
    d_slopes: np.ndarray
    rates: np.ndarray
    rstd: np.ndarray
    d_rates: np.ndarray
    similarity: np.ndarray  # [BLOCK, BLOCK], as the next one
    last_similarity: np.ndarray
    queries: np.ndarray
    d_queries: np.ndarray
    z: np.ndarray
    d_z: np.ndarray
    hidden: np.ndarray  # wide, as the next two
    d_hidden: np.ndarray
    hidden_steepness: np.ndarray
    z_rstd: np.ndarray
    mixings: tuple[np.ndarray, np.ndarray, np.ndarray]  # [BLOCK, BLOCK]
    turned: np.ndarray  # [BLOCK, channels]
    turned_wide: np.ndarray  # [BLOCK, wide]
    d_rho: np.ndarray  # of all blocks and of all mini-batches so far
    d_scale: np.ndarray  # [channels, LANES], of all mini-batches so far
    d_shift: np.ndarray


def forward_room(t: int, d: int, wide: int) -> ForwardRoom:
    high, low, m = padded(d + 1), padded(wide + 1), blocks(t)
    return ForwardRoom._make(
        [
            *(zeros(high, padded(wide)) for _ in range(2)),
            *(zeros(low, padded(d)) for _ in range(2)),
            *(zeros(m, high, BLOCK) for _ in range(2)),
            *(zeros(m, low, BLOCK) for _ in range(2)),
            zeros(m, 1, BLOCK),
            *(zeros(high, BLOCK) for _ in range(3)),
            *(zeros(low, BLOCK) for _ in range(3)),
            zeros(1, BLOCK),
            *(zeros(BLOCK, BLOCK) for _ in range(2)),
            zeros(BLOCK, padded(d)),
            zeros(BLOCK, padded(wide)),
        ]
    )


def backward_room(t: int, d: int, wide: int) -> BackwardRoom:
    high, low, m = padded(d + 1), padded(wide + 1), blocks(t)
    return BackwardRoom._make(
        [
            *(zeros(high, padded(wide)) for _ in range(3)),
            *(zeros(low, padded(d)) for _ in range(3)),
            *(zeros(m, high, BLOCK) for _ in range(6)),
            *(zeros(m, low, BLOCK) for _ in range(6)),
            *(zeros(m, 1, BLOCK) for _ in range(3)),
            *(zeros(m, BLOCK, BLOCK) for _ in range(2)),
            *(zeros(high, BLOCK) for _ in range(4)),
            *(zeros(low, BLOCK) for _ in range(3)),
            zeros(1, BLOCK),
            (zeros(BLOCK, BLOCK), zeros(BLOCK, BLOCK), zeros(BLOCK, BLOCK)),
            zeros(BLOCK, padded(d)),
            zeros(BLOCK, padded(wide)),
            zeros(m, 1, BLOCK),
            *(zeros(high, LANES) for _ in range(2)),
        ]
    )
