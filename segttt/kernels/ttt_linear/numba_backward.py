"""The backward pass of TTT-Linear in compiled loops.

A task is a sample and a head, as in the forward pass. Mini-batches come last to first: of each, all
is formed anew from its state, then its answers ask for gradients, then it asks its state for what
the state after it asks.
"""

from collections.abc import Callable
from typing import no_type_check

from numba import njit

from segttt.kernels.numba_cache import kept
from segttt.kernels.numba_chunks import (
    add_mixed,
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
    product,
    turn,
)


@kept
def backward(sources: int) -> Callable[..., None]:
    @no_type_check
    def backward(part, t, backwards, causal, eps, given, d_out, grads, room) -> None:
        """Write `grads` for the tasks from part[0] to part[1], in mini-batches of `t` tokens.

        `given` is that of the forward pass, with all states [m, b, h, d + 1, d] in place of the
        initial ones. `grads` are those of q, k, v [b, h, n, d] and lr [b, h, n], and for each
        sample and head of rho [b, h, blocks, 1, BLOCK], the initial state [b, h, d + 1, d] and
        gamma, beta [b, h, d].
        """
        _ = sources
        q, k, v, lr, rho, states, gamma, beta = given
        d_q, d_k, d_v, d_lr, d_rho, d_initial, d_gamma, d_beta = grads
        n, d = q.shape[2:]
        for task in range(part[0], part[1]):
            b, h = task // len(backwards), task % len(backwards)
            norm = (gamma[h], beta[h], eps)
            _clear_sums(room)
            for index in range(-(-n // t) - 1, -1, -1):
                here = mini_batch(index, n, t, backwards[h])
                clear(room.grown)
                copy(states[index, b, h], room.state, d + 1, d)
                _learn_again(room, here, k[b, h], v[b, h], lr[b, h], norm)
                if not causal:
                    copy(states[index + 1, b, h], room.state, d + 1, d)
                _ask(room, here, q[b, h], d_out[b, h], d_q[b, h], rho, norm, causal)
                if not causal:
                    copy(states[index, b, h], room.state, d + 1, d)
                    add_to(room.d_state, room.grown)
                    clear(room.grown)
                _pass_on(room, here, d_k[b, h], d_v[b, h], d_lr[b, h], last_of(rho, here), norm)
                add_to(room.d_state, room.grown)
            copy(room.d_state, d_initial[b, h], d + 1, d)
            hand_in(room, d_rho[b, h], d_gamma[b, h], d_beta[b, h])

    return backward


@njit(**INNER)
@no_type_check
def _clear_sums(room) -> None:
    for sum_ in (room.d_state, room.d_scale, room.d_shift):
        clear(sum_)
    for a in range(len(room.d_rho)):
        clear(room.d_rho[a])


@njit(**INNER)
@no_type_check
def _learn_again(room, here, k, v, lr, norm) -> None:
    """The inner loss with all that its derivatives need, at the state before the mini-batch."""
    scale, shift, eps = norm
    d = len(scale)
    for c in range(-(-here[2] // BLOCK)):
        keys, slopes, error, block = room.keys[c], room.slopes[c], room.error[c], block_of(here, c)
        take(keys, k, block)
        take_targets(error, keys, v, block)
        take_rates(room.rates[c], lr, block)
        product(slopes, room.state.T, keys, d, d + 1, block[2], False)
        inner_loss(slopes, error, room.normed[c], room.rstd[c], scale, shift, eps, block[2])
        clear(room.d_keys[c])
        clear(room.d_slopes[c])
        clear(room.d_rates[c])


@njit(**INNER)
@no_type_check
def _ask(room, here, q, d_out, d_q, rho, norm, causal) -> None:
    """Write the gradient of the queries, and collect what they ask of state, keys and slopes."""
    scale, _, eps = norm
    d = len(scale)
    for a in range(-(-here[2] // BLOCK)):
        block = block_of(here, a)
        count = block[2]
        take(room.queries, q, block)
        product(room.z, room.state.T, room.queries, d, d + 1, count, False)
        for c in range(a + 1 if causal else 0):
            similarity(room.similarity[c], room.keys[c], room.queries, d + 1, count, c == a)
            mix(room.mixings[0], room.similarity[c], room.rates[c], rho[a], count, c == a)
            add_mixed(room.z, room.slopes[c], room.mixings[0], d, count, c == a)
        normalise(room.z, room.z_rstd, d, eps, count)
        arrive(room.d_queries, d_out, block[0], block[1], count)
        answer_backward(
            room.d_queries, room.d_z, room.z, room.z_rstd, scale, room.d_scale, room.d_shift, count
        )
        turn(room.d_z, room.turned, d, 0, count)
        product(room.grown, room.queries, room.turned, d + 1, count, d, True)
        product(room.d_queries, room.state, room.d_z, d, d, count, True)
        for c in range(a + 1 if causal else 0):
            unmix(
                (room.keys[c], room.slopes[c], room.rates[c], rho[a]),
                (room.d_keys[c], room.d_slopes[c], room.d_rates[c], room.d_rho[a]),
                (room.queries, room.d_queries, room.d_z, room.similarity[c], room.mixings),
                (d, d, count, c == a),
            )
        leave(room.d_queries, d_q, block[0], block[1], count)


@njit(**INNER)
@no_type_check
def _pass_on(room, here, d_k, d_v, d_lr, last, norm) -> None:
    """Write the gradients of keys, values and rates, and collect what they ask of the state."""
    scale, d, at = norm[0], len(norm[0]), here[2] - 1
    for c in range(-(-here[2] // BLOCK)):
        block, keys, slopes, rates = block_of(here, c), room.keys[c], room.slopes[c], room.rates[c]
        count, d_keys, d_slopes, d_rates = (
            block[2],
            room.d_keys[c],
            room.d_slopes[c],
            room.d_rates[c],
        )
        error, normed = room.error[c], room.normed[c]
        product(room.z, room.d_state.T, keys, d, d + 1, count, False)
        room.d_rho[at // BLOCK, 0, at % BLOCK] += last_step_backward(
            room.z, slopes, d_slopes, rates, d_rates, last, d, count
        )
        slope_backward(d_slopes, room.z, slopes, error, normed, room.rstd[c], scale, count)
        error_backward(room.z, error, normed, d_keys, scale, room.d_scale, room.d_shift, count)
        product(d_keys, room.state, d_slopes, d, d, count, True)
        weigh(room.d_z, slopes, rates, -last, d, count)
        product(d_keys, room.d_state, room.d_z, d, d, count, True)
        turn(d_slopes, room.turned, d, 0, count)
        product(room.grown, keys, room.turned, d + 1, count, d, True)
        leave(d_keys, d_k, block[0], block[1], count)
        leave(room.z, d_v, block[0], block[1], count)
        for i in range(count):
            d_lr[block[0] + block[1] * i] = d_rates[0, i]
