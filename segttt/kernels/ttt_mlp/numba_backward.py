"""The backward pass of TTT-MLP in compiled loops.

A task is a sample and a head, as in the forward pass. Mini-batches come last to first: of each, all
is formed anew from its states, then its answers ask for gradients, then it asks its states for what
the states after it ask.
"""

from collections.abc import Callable
from typing import no_type_check

from numba import njit

from segttt.kernels.numba_cache import kept
from segttt.kernels.numba_chunks import (
    add_mixed,
    add_ones,
    block_of,
    hand_in,
    last_of,
    last_step_backward,
    mini_batch,
    mix,
    similarity,
    take,
    take_rates,
    take_targets,
    unmix,
    weigh,
)
from segttt.kernels.numba_inner_loss import (
    answer_backward,
    error_backward,
    inner_loss,
    normalise,
    slope_backward,
)
from segttt.kernels.numba_products import (
    BLOCK,
    INNER,
    add_to,
    arrive,
    clear,
    copy,
    leave,
    multiply,
    product,
    turn,
)
from segttt.kernels.ttt_mlp.numba_gelu import curvature, gelu


@kept
def backward(sources: int) -> Callable[..., None]:
    @no_type_check
    def backward(part, t, backwards, causal, eps, given, d_out, grads, room) -> None:
        """Write `grads` for the tasks from part[0] to part[1], in mini-batches of `t` tokens.

        `given` is that of the forward pass, with all states [m, b, h, ...] in place of the initial
        ones. `grads` are those of q, k, v [b, h, n, d] and lr [b, h, n], and for each sample and
        head of rho [b, h, blocks, 1, BLOCK], the initial states [b, h, d + 1, w] and
        [b, h, w + 1, d] and gamma, beta [b, h, d].
        """
        _ = sources
        q, k, v, lr, rho, firsts, seconds, gamma, beta = given
        d_q, d_k, d_v, d_lr, d_rho, d_first, d_second, d_gamma, d_beta = grads
        n, d, wide = q.shape[2], q.shape[3], firsts.shape[4]
        for task in range(part[0], part[1]):
            b, h = task // len(backwards), task % len(backwards)
            norm = (gamma[h], beta[h], eps)
            _clear_sums(room)
            for index in range(-(-n // t) - 1, -1, -1):
                here = mini_batch(index, n, t, backwards[h])
                clear(room.grown)
                clear(room.last_grown)
                _enter(room, firsts[index, b, h], seconds[index, b, h], d, wide)
                _learn_again(room, here, k[b, h], v[b, h], lr[b, h], norm, wide)
                if not causal:
                    _enter(room, firsts[index + 1, b, h], seconds[index + 1, b, h], d, wide)
                _ask(room, here, q[b, h], d_out[b, h], d_q[b, h], rho, norm, wide, causal)
                if not causal:
                    _enter(room, firsts[index, b, h], seconds[index, b, h], d, wide)
                    _grow(room)
                    clear(room.grown)
                    clear(room.last_grown)
                last = last_of(rho, here)
                _pass_on(room, here, d_k[b, h], d_v[b, h], d_lr[b, h], last, norm, wide)
                _grow(room)
            copy(room.d_first, d_first[b, h], d + 1, wide)
            copy(room.d_second, d_second[b, h], wide + 1, d)
            hand_in(room, d_rho[b, h], d_gamma[b, h], d_beta[b, h])

    return backward


@njit(**INNER)
@no_type_check
def _clear_sums(room) -> None:
    for sum_ in (room.d_first, room.d_second, room.d_scale, room.d_shift):
        clear(sum_)
    for a in range(len(room.d_rho)):
        clear(room.d_rho[a])


@njit(**INNER)
@no_type_check
def _enter(room, first, second, d, wide) -> None:
    copy(first, room.first, d + 1, wide)
    copy(second, room.second, wide + 1, d)


@njit(**INNER)
@no_type_check
def _grow(room) -> None:
    add_to(room.d_first, room.grown)
    add_to(room.d_second, room.last_grown)


@njit(**INNER)
@no_type_check
def _learn_again(room, here, k, v, lr, norm, wide) -> None:
    """The inner pass with all that its derivatives need, at the states before the mini-batch."""
    scale, shift, eps = norm
    d, hidden = len(scale), room.hidden
    for c in range(-(-here[2] // BLOCK)):
        keys, features, last_slopes = room.keys[c], room.features[c], room.last_slopes[c]
        error, block = room.error[c], block_of(here, c)
        count = block[2]
        take(keys, k, block)
        take_targets(error, keys, v, block)
        take_rates(room.rates[c], lr, block)
        product(room.bend[c], room.first.T, keys, wide, d + 1, count, False)
        gelu(room.bend[c], features, room.steepness[c], wide, count)
        curvature(room.bend[c], wide, count)
        add_ones(features, wide)
        product(last_slopes, room.second.T, features, d, wide + 1, count, False)
        inner_loss(last_slopes, error, room.normed[c], room.rstd[c], scale, shift, eps, count)
        product(hidden, room.second, last_slopes, wide, d, count, False)
        multiply(hidden, room.steepness[c], room.slopes[c], wide, count)
        multiply(hidden, room.bend[c], room.bend[c], wide, count)
        for sum_ in (room.d_keys[c], room.d_features[c], room.d_slopes[c]):
            clear(sum_)
        clear(room.d_last_slopes[c])
        clear(room.d_rates[c])


@njit(**INNER)
@no_type_check
def _ask(room, here, q, d_out, d_q, rho, norm, wide, causal) -> None:
    """Write the gradient of the queries, and collect what they ask of states and tokens."""
    scale, d = norm[0], len(norm[0])
    hidden, d_hidden, d_z = room.hidden, room.d_hidden, room.d_z
    for a in range(-(-here[2] // BLOCK)):
        block = block_of(here, a)
        count, before = block[2], a + 1 if causal else 0
        take(room.queries, q, block)
        _hear(room, rho[a], wide, norm, count, before)
        arrive(room.d_queries, d_out, block[0], block[1], count)
        answer_backward(
            room.d_queries, d_z, room.z, room.z_rstd, scale, room.d_scale, room.d_shift, count
        )
        turn(d_z, room.turned, d, 0, count)
        product(room.last_grown, hidden, room.turned, wide + 1, count, d, True)
        product(d_hidden, room.second, d_z, wide, d, count, False)
        for c in range(before):
            unmix(
                (room.features[c], room.last_slopes[c], room.rates[c], rho[a]),
                (room.d_features[c], room.d_last_slopes[c], room.d_rates[c], room.d_rho[a]),
                (hidden, d_hidden, d_z, room.last_similarity[c], room.mixings),
                (wide, d, count, c == a),
            )
        multiply(d_hidden, room.hidden_steepness, d_hidden, wide, count)
        product(room.d_queries, room.first, d_hidden, d, wide, count, True)
        turn(d_hidden, room.turned_wide, wide, 0, count)
        product(room.grown, room.queries, room.turned_wide, d + 1, count, wide, True)
        for c in range(before):
            unmix(
                (room.keys[c], room.slopes[c], room.rates[c], rho[a]),
                (room.d_keys[c], room.d_slopes[c], room.d_rates[c], room.d_rho[a]),
                (room.queries, room.d_queries, d_hidden, room.similarity[c], room.mixings),
                (d, wide, count, c == a),
            )
        leave(room.d_queries, d_q, block[0], block[1], count)


@njit(**INNER)
@no_type_check
def _hear(room, rho, wide, norm, count, before) -> None:
    """The answers up to their norm, as in the forward pass; the last block heard is their own."""
    hidden, z, mixing, d = room.hidden, room.z, room.mixings[0], len(norm[0])
    product(hidden, room.first.T, room.queries, wide, d + 1, count, False)
    for c in range(before):
        own = c == before - 1
        similarity(room.similarity[c], room.keys[c], room.queries, d + 1, count, own)
        mix(mixing, room.similarity[c], room.rates[c], rho, count, own)
        add_mixed(hidden, room.slopes[c], mixing, wide, count, own)
    gelu(hidden, hidden, room.hidden_steepness, wide, count)
    add_ones(hidden, wide)
    product(z, room.second.T, hidden, d, wide + 1, count, False)
    for c in range(before):
        own = c == before - 1
        similarity(room.last_similarity[c], room.features[c], hidden, wide + 1, count, own)
        mix(mixing, room.last_similarity[c], room.rates[c], rho, count, own)
        add_mixed(z, room.last_slopes[c], mixing, d, count, own)
    normalise(z, room.z_rstd, d, norm[2], count)


@njit(**INNER)
@no_type_check
def _pass_on(room, here, d_k, d_v, d_lr, last, norm, wide) -> None:
    """Write the gradients of keys, values and rates, and collect what they ask of the states."""
    scale, d, at = norm[0], len(norm[0]), here[2] - 1
    hidden, returned = room.hidden, room.d_hidden
    for c in range(-(-here[2] // BLOCK)):
        block, keys, features = block_of(here, c), room.keys[c], room.features[c]
        d_keys, d_features, error, normed = (
            room.d_keys[c],
            room.d_features[c],
            room.error[c],
            room.normed[c],
        )
        rates, d_rates, slopes, d_slopes = (
            room.rates[c],
            room.d_rates[c],
            room.slopes[c],
            room.d_slopes[c],
        )
        last_slopes, d_last_slopes, count = room.last_slopes[c], room.d_last_slopes[c], block[2]
        product(hidden, room.d_first.T, keys, wide, d + 1, count, False)
        d_last = last_step_backward(hidden, slopes, d_slopes, rates, d_rates, last, wide, count)
        product(room.z, room.d_second.T, features, d, wide + 1, count, False)
        d_last += last_step_backward(
            room.z, last_slopes, d_last_slopes, rates, d_rates, last, d, count
        )
        room.d_rho[at // BLOCK, 0, at % BLOCK] += d_last
        multiply(d_slopes, room.steepness[c], returned, wide, count)
        product(d_last_slopes, room.second.T, returned, d, wide, count, True)
        slope_backward(
            d_last_slopes, room.z, last_slopes, error, normed, room.rstd[c], scale, count
        )
        error_backward(room.z, error, normed, d_keys, scale, room.d_scale, room.d_shift, count)
        weigh(room.d_z, last_slopes, rates, -last, d, count)
        product(d_features, room.second, d_last_slopes, wide, d, count, True)
        product(d_features, room.d_second, room.d_z, wide, d, count, True)
        multiply(d_features, room.steepness[c], d_features, wide, count)
        multiply(d_slopes, room.bend[c], d_slopes, wide, count)
        add_to(d_features, d_slopes)
        weigh(hidden, slopes, rates, -last, wide, count)
        product(d_keys, room.first, d_features, d, wide, count, True)
        product(d_keys, room.d_first, hidden, d, wide, count, True)
        turn(d_features, room.turned_wide, wide, 0, count)
        product(room.grown, keys, room.turned_wide, d + 1, count, wide, True)
        turn(d_last_slopes, room.turned, d, 0, count)
        product(room.last_grown, features, room.turned, wide + 1, count, d, True)
        turn(last_slopes, room.turned, d, 0, count)
        product(room.last_grown, returned, room.turned, wide, count, d, True)
        leave(d_keys, d_k, block[0], block[1], count)
        leave(room.z, d_v, block[0], block[1], count)
        for i in range(count):
            d_lr[block[0] + block[1] * i] = d_rates[0, i]
