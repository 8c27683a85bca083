"""The mini-batches of a TTT layer in compiled loops: blocks of tokens that hear of each other.

Where a mini-batch lies is (first, step, size): the index of its first token in reading order, 1 or
-1, and how many there are. Beyond its last token, blocks have learning rates of zero.
"""

from typing import no_type_check

import numpy as np
from numba import njit

from segttt.kernels.numba_lanes import LANES, from_lane, load, splat, spread, store, total, zeros
from segttt.kernels.numba_products import BLOCK, INNER, arrive, copy, strip, turn

ONE, ZERO = np.float32(1), np.float32(0)


@njit(**INNER)
@no_type_check
def mini_batch(index, n, t, backwards):
    """Where a mini-batch of `t` of `n` tokens lies."""
    first = n - 1 - index * t if backwards else index * t
    return first, -1 if backwards else 1, min(t, n - index * t)


@njit(**INNER)
@no_type_check
def block_of(here, index):
    """Where one block of a mini-batch lies."""
    first, step, size = here
    return first + step * index * BLOCK, step, min(BLOCK, size - index * BLOCK)


@njit(**INNER)
@no_type_check
def last_of(rho, here):
    """The position scale of the last token of a mini-batch; rho [blocks, 1, BLOCK]."""
    return rho[(here[2] - 1) // BLOCK, 0, (here[2] - 1) % BLOCK]


@njit(**INNER)
@no_type_check
def take(block, tokens, here) -> None:
    """Tokens [n, d], and a row of ones behind their channels."""
    first, step, count = here
    arrive(block, tokens, first, step, count)
    add_ones(block, tokens.shape[1])


@njit(**INNER)
@no_type_check
def add_ones(block, row) -> None:
    """Fill a row, which lets a product add the bias that is the last row of a weight."""
    for i in range(BLOCK):
        block[row, i] = ONE


@njit(**INNER)
@no_type_check
def take_targets(targets, keys, v, here) -> None:
    """v - k"""
    first, step, count = here
    arrive(targets, v, first, step, count)
    for lane in range(0, count, LANES):
        for e in range(v.shape[1]):
            store(load(targets, e, lane) - load(keys, e, lane), targets, e, lane)


@njit(**INNER)
@no_type_check
def take_rates(rates, lr, here) -> None:
    """Learning rates [n]; rates [1, BLOCK]."""
    first, step, count = here
    for i in range(BLOCK):
        rates[0, i] = lr[first + step * i] if i < count else ZERO


@njit(**INNER)
@no_type_check
def weigh(weighted, block, rates, factor, rows, count) -> None:
    """factor * rate * column for each token."""
    for lane in range(0, count, LANES):
        rate = load(rates, 0, lane) * splat(factor)
        for e in range(rows):
            store(load(block, e, lane) * rate, weighted, e, lane)


@njit(**INNER)
@no_type_check
def similarity(product, keys, queries, depth, count, diagonal) -> None:
    """Keysᵀ queries [j, i]; on the diagonal only tiles of 16 x 16 that have a j <= i."""
    for lane in range(0, count, LANES):
        high = lane + LANES if diagonal else BLOCK
        strip(product, keys.T, queries, high, 0, depth, lane, False)


@njit(**INNER)
@no_type_check
def mix(mixing, product, rates, rho, count, diagonal) -> None:
    """-rho_i lr_j product[j, i], on the diagonal zero where j > i."""
    for lane in range(0, count, LANES):
        position = zeros() - load(rho, 0, lane)
        for j in range(lane + LANES if diagonal else BLOCK):
            now = load(product, j, lane) * (position * spread(rates, 0, j))
            store(from_lane(now, j - lane) if diagonal else now, mixing, j, lane)


@njit(**INNER)
@no_type_check
def add_mixed(z, block, mixing, rows, count, diagonal) -> None:
    """z += block mixing"""
    for lane in range(0, count, LANES):
        strip(z, block, mixing, rows, 0, lane + LANES if diagonal else BLOCK, lane, True)


@njit(**INNER)
@no_type_check
def _add_mixed_back(z, block, mixing, turned, rows, count, diagonal) -> None:
    """z += block mixingᵀ, which takes the place of what is in `turned`."""
    for lane in range(0, count, LANES):
        turn(mixing, turned, lane + LANES if diagonal else BLOCK, lane, lane + LANES)
    for lane in range(0, count if diagonal else BLOCK, LANES):
        strip(z, block, turned, rows, lane if diagonal else 0, count, lane, True)


@njit(**INNER)
@no_type_check
def _step_backward(mixing, d_mixing, product, rates, d_rates, rho, d_rho, count, diagonal) -> None:
    """From minus the gradient of -`mixing`, shares of those of the rates and rho.

    `mixing` becomes that of `mix`, and `d_mixing` the gradient of `product`.
    """
    for lane in range(0, count, LANES):
        position, asked = load(rho, 0, lane), zeros()
        minus = zeros() - position
        for j in range(lane + LANES if diagonal else BLOCK):
            step, now = minus * spread(rates, 0, j), load(product, j, lane)
            pull = load(d_mixing, j, lane)
            if diagonal:
                step, pull = from_lane(step, j - lane), from_lane(pull, j - lane)
            along = pull * now
            asked = asked + spread(rates, 0, j) * along
            d_rates[0, j] -= total(position * along)
            store(now * step, mixing, j, lane)
            store(pull * step, d_mixing, j, lane)
        store(load(d_rho, 0, lane) - asked, d_rho, 0, lane)


@njit(**INNER)
@no_type_check
def unmix(taught, d_taught, asked, sizes) -> None:
    """What a block of answers asks through what it heard of a block of tokens.

    `taught` is keys, slopes, rates of the tokens and rho of the answers; `d_taught` their
    gradients, to which it adds. `asked` is queries, their gradient, to which it adds, that of what
    they heard, keysᵀ queries, and room for three such; `sizes` are the rows of keys and of slopes,
    the number of answers, and whether both blocks are one.
    """
    keys, slopes, rates, rho = taught
    d_keys, d_slopes, d_rates, d_rho = d_taught
    queries, d_queries, d_z, product, (mixing, d_mixing, turned) = asked
    rows, depth, count, diagonal = sizes
    similarity(d_mixing, slopes, d_z, depth, count, diagonal)
    _step_backward(mixing, d_mixing, product, rates, d_rates, rho, d_rho, count, diagonal)
    add_mixed(d_queries, keys, d_mixing, rows, count, diagonal)
    _add_mixed_back(d_slopes, d_z, mixing, turned, depth, count, diagonal)
    _add_mixed_back(d_keys, queries, d_mixing, turned, rows, count, diagonal)


@njit(**INNER)
@no_type_check
def last_step_backward(pull, slopes, d_slopes, rates, d_rates, last, rows, count):
    """What the state after a mini-batch asks of slopes and rates; `pull` is its gradient at keys.

    Returns what it asks of the position scale `last`.
    """
    asked = zeros()
    for lane in range(0, count, LANES):
        rate, along = load(rates, 0, lane), zeros()
        step = rate * splat(last)
        for e in range(rows):
            now = load(pull, e, lane)
            along = along + now * load(slopes, e, lane)
            store(load(d_slopes, e, lane) - step * now, d_slopes, e, lane)
        store(load(d_rates, 0, lane) - splat(last) * along, d_rates, 0, lane)
        asked = asked + rate * along
    return -total(asked)


@njit(**INNER)
@no_type_check
def hand_in(room, d_rho, d_scale, d_shift) -> None:
    """Write a task's gradients of rho [blocks, 1, BLOCK] and of LN's scale and shift [d]."""
    for a in range(len(d_rho)):
        copy(room.d_rho[a], d_rho[a], 1, BLOCK)
    for e in range(len(d_scale)):
        d_scale[e] = total(load(room.d_scale, e, 0))
        d_shift[e] = total(load(room.d_shift, e, 0))
