"""The forward pass of TTT-MLP in compiled loops.

A task is a sample and a head. Its states [W1; b1] and [W2; b2] stay in the inner caches while it
walks the mini-batches in reading order; a mini-batch is one or more blocks of tokens.
"""

from collections.abc import Callable
from typing import no_type_check

import numpy as np
from numba import njit

from segttt.kernels.numba_cache import kept
from segttt.kernels.numba_chunks import (
    add_mixed,
    add_ones,
    block_of,
    last_of,
    mini_batch,
    mix,
    similarity,
    take,
    take_rates,
    take_targets,
    weigh,
)
from segttt.kernels.numba_inner_loss import answer, inner_loss, squared_error
from segttt.kernels.numba_products import BLOCK, INNER, copy, leave, multiply, product, turn
from segttt.kernels.ttt_mlp.numba_gelu import gelu


@kept
def forward(sources: int) -> Callable[..., None]:
    @no_type_check
    def forward(part, t, backwards, causal, eps, given, results, room) -> None:
        """Write `results` for the tasks from part[0] to part[1], in mini-batches of `t` tokens.

        `given` is q, k, v [b, h, n, d], lr [b, h, n], rho [blocks, 1, BLOCK], initial states
        [h, d + 1, w] and [h, w + 1, d] and gamma, beta [h, d]; `results` are out [b, h, n, d],
        states [m, b, h, d + 1, w] and [m, b, h, w + 1, d] or fewer, and losses [b, h, m, 2] or
        none.
        """
        _ = sources
        q, k, v, lr, rho, first, second, gamma, beta = given
        out, firsts, seconds, losses = results
        n, d, wide = q.shape[2], q.shape[3], second.shape[1] - 1
        many = -(-n // t)
        for task in range(part[0], part[1]):
            b, h = task // len(backwards), task % len(backwards)
            norm = (gamma[h], beta[h], eps)
            copy(first[h], room.first, d + 1, wide)
            copy(second[h], room.second, wide + 1, d)
            for index in range(many):
                here = mini_batch(index, n, t, backwards[h])
                if index < len(firsts):
                    copy(room.first, firsts[index, b, h], d + 1, wide)
                    copy(room.second, seconds[index, b, h], wide + 1, d)
                copy(room.first, room.first_after, d + 1, wide)
                copy(room.second, room.second_after, wide + 1, d)
                _learn(room, here, k[b, h], v[b, h], lr[b, h], last_of(rho, here), norm, wide)
                for end in range(2 if losses.size else 0):
                    losses[b, h, index, end] = _loss(room, here, v[b, h], norm, wide, end)
                _answer(room, here, q[b, h], out[b, h], rho, norm, wide, causal)
                copy(room.first_after, room.first, d + 1, wide)
                copy(room.second_after, room.second, wide + 1, d)
            if len(firsts) > many:
                copy(room.first, firsts[many, b, h], d + 1, wide)
                copy(room.second, seconds[many, b, h], wide + 1, d)

    return forward


@njit(**INNER)
@no_type_check
def _learn(room, here, k, v, lr, last, norm, wide) -> None:
    """Keep what a mini-batch teaches, and add its step to the states after it."""
    scale, shift, eps = norm
    d = len(scale)
    for c in range(-(-here[2] // BLOCK)):
        keys, features, rates, block = (
            room.keys[c],
            room.features[c],
            room.rates[c],
            block_of(here, c),
        )
        slopes, last_slopes, count = room.slopes[c], room.last_slopes[c], block[2]
        take(keys, k, block)
        take_targets(room.targets, keys, v, block)
        take_rates(rates, lr, block)
        product(room.hidden, room.first.T, keys, wide, d + 1, count, False)
        gelu(room.hidden, features, room.steepness, wide, count)
        add_ones(features, wide)
        product(last_slopes, room.second.T, features, d, wide + 1, count, False)
        inner_loss(last_slopes, room.targets, room.z, room.rstd, scale, shift, eps, count)
        product(slopes, room.second, last_slopes, wide, d, count, False)
        multiply(slopes, room.steepness, slopes, wide, count)
        weigh(room.weighed, slopes, rates, -last, wide, count)
        turn(room.weighed, room.turned_wide, wide, 0, count)
        product(room.first_after, keys, room.turned_wide, d + 1, count, wide, True)
        weigh(room.z, last_slopes, rates, -last, d, count)
        turn(room.z, room.turned, d, 0, count)
        product(room.second_after, features, room.turned, wide + 1, count, d, True)


@njit(**INNER)
@no_type_check
def _loss(room, here, v, norm, wide, after):
    """The mean loss at the keys in the room, before or after what they taught."""
    scale, shift, eps = norm
    first = room.first_after if after else room.first
    second = room.second_after if after else room.second
    d, found = len(scale), np.float32(0)
    for c in range(-(-here[2] // BLOCK)):
        block = block_of(here, c)
        take_targets(room.targets, room.keys[c], v, block)
        product(room.hidden, first.T, room.keys[c], wide, d + 1, block[2], False)
        gelu(room.hidden, room.hidden, room.steepness, wide, block[2])
        add_ones(room.hidden, wide)
        product(room.z, second.T, room.hidden, d, wide + 1, block[2], False)
        found += squared_error(room.z, room.targets, scale, shift, eps, block[2])
    return found / np.float32(2 * here[2])


@njit(**INNER)
@no_type_check
def _answer(room, here, q, out, rho, norm, wide, causal) -> None:
    """Write what the queries of a mini-batch get to hear."""
    scale, shift, eps = norm
    first = room.first if causal else room.first_after
    second = room.second if causal else room.second_after
    d, hidden, z = len(scale), room.hidden, room.z
    for a in range(-(-here[2] // BLOCK)):
        block = block_of(here, a)
        count = block[2]
        take(room.queries, q, block)
        product(hidden, first.T, room.queries, wide, d + 1, count, False)
        for c in range(a + 1 if causal else 0):
            similarity(room.similarity, room.keys[c], room.queries, d + 1, count, c == a)
            mix(room.mixing, room.similarity, room.rates[c], rho[a], count, c == a)
            add_mixed(hidden, room.slopes[c], room.mixing, wide, count, c == a)
        gelu(hidden, hidden, room.steepness, wide, count)
        add_ones(hidden, wide)
        product(z, second.T, hidden, d, wide + 1, count, False)
        for c in range(a + 1 if causal else 0):
            similarity(room.similarity, room.features[c], hidden, wide + 1, count, c == a)
            mix(room.mixing, room.similarity, room.rates[c], rho[a], count, c == a)
            add_mixed(z, room.last_slopes[c], room.mixing, d, count, c == a)
        answer(z, room.queries, room.rstd, scale, shift, eps, count)
        leave(z, out, block[0], block[1], count)
