"""The inner losses of TTT-Linear on a GPU, from the states that the chain has left."""

from typing import no_type_check

import triton
import triton.language as tl

from segttt.kernels.ttt_linear.triton_math import (
    load_row,
    load_rows,
    load_state,
    normalise,
    own_sequence,
    place,
    product,
)


@triton.jit(do_not_specialize=["n", "t", "heads"])
@no_type_check
def losses(
    k,
    v,
    gamma,
    beta,
    turned,
    states,  # [m + 1, b * h, d + 1, d]
    sums,  # [m * BLOCKS, b * h, 2]
    n,
    t,
    heads,
    eps,
    D: tl.constexpr,
    BT: tl.constexpr,
    BD: tl.constexpr,
    BLOCKS: tl.constexpr,
    DOT: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """One program for each block of tokens: the sum of its losses before and after the update."""
    chunk, block = tl.program_id(0) // BLOCKS, tl.program_id(0) % BLOCKS
    sequence, sequences = own_sequence()
    head = sequence % heads
    first, way, count = place(sequence, chunk, block, n, t, tl.load(turned + head), BT)
    key = load_rows(k, first, way, count, D, BT, BD)
    value = load_rows(v, first, way, count, D, BT, BD)
    scale, shift = load_row(gamma, head, D, BD)[None, :], load_row(beta, head, D, BD)[None, :]
    rows, columns = tl.arange(0, BT)[:, None], tl.arange(0, BD)[None, :]
    there = (rows < count) & (columns < D)
    for late in tl.static_range(2):
        W, b = load_state(states, (chunk + late) * sequences + sequence, D, BD)
        z = product(key, W, DOT, PRECISION) + b[None, :]
        normed, _ = normalise(z, eps, D, BD)
        error = scale * normed + shift - value + key
        total = 0.5 * tl.sum(tl.sum(tl.where(there, error * error, 0.0), 1), 0)
        tl.store(sums + (tl.program_id(0) * sequences + sequence) * 2 + late, total)
