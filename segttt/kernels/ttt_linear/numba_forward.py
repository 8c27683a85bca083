"""The forward pass of TTT-Linear in compiled loops.

A task is a sample and a head. Its state [W; b] stays in the inner caches while it walks the
mini-batches in reading order; a mini-batch is one or more blocks of tokens.
"""

from collections.abc import Callable
from typing import no_type_check

import numpy as np
from numba import njit

from segttt.kernels.numba_cache import kept
from segttt.kernels.numba_chunks import (
    add_mixed,
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
from segttt.kernels.numba_products import BLOCK, INNER, copy, leave, product, turn


@kept
def forward(sources: int) -> Callable[..., None]:
    @no_type_check
    def forward(part, t, backwards, causal, eps, given, results, room) -> None:
        """Write `results` for the tasks from part[0] to part[1], in mini-batches of `t` tokens.

        `given` is q, k, v [b, h, n, d], lr [b, h, n], rho [blocks, 1, BLOCK], initial states
        [h, d + 1, d] and gamma, beta [h, d]; `results` are out [b, h, n, d], states
        [m, b, h, d + 1, d] or fewer, and losses [b, h, m, 2] or none.
        """
        _ = sources
        q, k, v, lr, rho, initial, gamma, beta = given
        out, states, losses = results
        n, d = q.shape[2:]
        many = -(-n // t)
        for task in range(part[0], part[1]):
            b, h = task // len(backwards), task % len(backwards)
            norm = (gamma[h], beta[h], eps)
            copy(initial[h], room.state, d + 1, d)
            for index in range(many):
                here = mini_batch(index, n, t, backwards[h])
                if index < len(states):
                    copy(room.state, states[index, b, h], d + 1, d)
                copy(room.state, room.after, d + 1, d)
                _learn(room, here, k[b, h], v[b, h], lr[b, h], last_of(rho, here), norm)
                for end in range(2 if losses.size else 0):
                    state = room.after if end else room.state
                    losses[b, h, index, end] = _loss(room, here, v[b, h], norm, state)
                _answer(room, here, q[b, h], out[b, h], rho, norm, causal)
                copy(room.after, room.state, d + 1, d)
            if len(states) > many:
                copy(room.state, states[many, b, h], d + 1, d)

    return forward


@njit(**INNER)
@no_type_check
def _learn(room, here, k, v, lr, last, norm) -> None:
    """Keep keys, slopes and rates of a mini-batch, and add its step to the state after it."""
    scale, shift, eps = norm
    d = len(scale)
    for c in range(-(-here[2] // BLOCK)):
        keys, slopes, rates, block = room.keys[c], room.slopes[c], room.rates[c], block_of(here, c)
        count = block[2]
        take(keys, k, block)
        take_targets(room.targets, keys, v, block)
        take_rates(rates, lr, block)
        product(slopes, room.state.T, keys, d, d + 1, count, False)
        inner_loss(slopes, room.targets, room.z, room.rstd, scale, shift, eps, count)
        weigh(room.z, slopes, rates, -last, d, count)
        turn(room.z, room.turned, d, 0, count)
        product(room.after, keys, room.turned, d + 1, count, d, True)


@njit(**INNER)
@no_type_check
def _loss(room, here, v, norm, state):
    """The mean loss at the keys in the room."""
    scale, shift, eps = norm
    found = np.float32(0)
    for c in range(-(-here[2] // BLOCK)):
        block = block_of(here, c)
        take_targets(room.targets, room.keys[c], v, block)
        product(room.z, state.T, room.keys[c], len(scale), len(scale) + 1, block[2], False)
        found += squared_error(room.z, room.targets, scale, shift, eps, block[2])
    return found / np.float32(2 * here[2])


@njit(**INNER)
@no_type_check
def _answer(room, here, q, out, rho, norm, causal) -> None:
    """Write what the queries of a mini-batch get to hear."""
    scale, shift, eps = norm
    d, state = len(scale), room.state if causal else room.after
    for a in range(-(-here[2] // BLOCK)):
        block = block_of(here, a)
        count = block[2]
        take(room.queries, q, block)
        product(room.z, state.T, room.queries, d, d + 1, count, False)
        for c in range(a + 1 if causal else 0):
            similarity(room.similarity, room.keys[c], room.queries, d + 1, count, c == a)
            mix(room.mixing, room.similarity, room.rates[c], rho[a], count, c == a)
            add_mixed(room.z, room.slopes[c], room.mixing, d, count, c == a)
        answer(room.z, room.queries, room.rstd, scale, shift, eps, count)
        leave(room.z, out, block[0], block[1], count)
