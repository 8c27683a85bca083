"""The inner loss of a TTT layer and its answers in compiled loops, on blocks of tokens.

What `inner_loss.py` does: ½‖LN(z) − target‖² and its derivatives, in place where it says so.
`scale` and `shift` are [d], what is one number per token is [1, tokens]. Sums over tokens go into
d_scale and d_shift [d, LANES], lane by lane.
"""

from typing import no_type_check

import numpy as np
from numba import njit

from segttt.kernels.numba_lanes import LANES, load, splat, sqrt, store, total, until_lane, zeros
from segttt.kernels.numba_products import INNER

ONE = np.float32(1)


@njit(**INNER)
@no_type_check
def moments(z, d, eps, lane):
    """Of 16 tokens, the mean over channels and 1 / standard deviation."""
    part, mean, square = splat(np.float32(ONE / d)), zeros(), zeros()
    for e in range(d):
        mean = mean + load(z, e, lane)
    mean = mean * part
    for e in range(d):
        centred = load(z, e, lane) - mean
        square = square + centred * centred
    return mean, splat(ONE) / sqrt(square * part + splat(eps))


@njit(**INNER)
@no_type_check
def normalise(z, rstd, d, eps, count) -> None:
    """LN without scale and shift, in place; rstd [1, tokens]."""
    for lane in range(0, count, LANES):
        mean, factor = moments(z, d, eps, lane)
        store(factor, rstd, 0, lane)
        for e in range(d):
            store((load(z, e, lane) - mean) * factor, z, e, lane)


@njit(**INNER)
@no_type_check
def normalise_backward(d_normed, normed, rstd, d, count) -> None:
    """The gradient of z from that of LN(z), in place."""
    part = splat(np.float32(ONE / d))
    for lane in range(0, count, LANES):
        mean, along = zeros(), zeros()
        for e in range(d):
            u = load(d_normed, e, lane)
            mean = mean + u
            along = along + u * load(normed, e, lane)
        mean, along, factor = mean * part, along * part, load(rstd, 0, lane)
        for e in range(d):
            left = load(d_normed, e, lane) - mean - load(normed, e, lane) * along
            store(factor * left, d_normed, e, lane)


@njit(**INNER)
@no_type_check
def inner_loss(z, error, normed, rstd, scale, shift, eps, count) -> None:
    """Make of z the loss's slope in z, of the targets in `error` the error; fill `normed`, rstd."""
    d = len(scale)
    part = splat(np.float32(ONE / d))
    for lane in range(0, count, LANES):
        mean, factor = moments(z, d, eps, lane)
        store(factor, rstd, 0, lane)
        level, along = zeros(), zeros()
        for e in range(d):
            x = (load(z, e, lane) - mean) * factor
            left = splat(scale[e]) * x + splat(shift[e]) - load(error, e, lane)
            scaled = splat(scale[e]) * left
            store(x, normed, e, lane)
            store(left, error, e, lane)
            store(scaled, z, e, lane)
            level = level + scaled
            along = along + scaled * x
        level, along = level * part, along * part
        for e in range(d):
            left = load(z, e, lane) - level - load(normed, e, lane) * along
            store(factor * left, z, e, lane)


@njit(**INNER)
@no_type_check
def slope_backward(d_slope, d_error, slope, error, normed, rstd, scale, count) -> None:
    """Make of the slope's gradient that of z; fill in that of the scaled error, scale * error."""
    d = len(scale)
    part = splat(np.float32(ONE / d))
    for lane in range(0, count, LANES):
        factor = load(rstd, 0, lane)
        mean, along, parallel, length = zeros(), zeros(), zeros(), zeros()
        for e in range(d):
            u, x = load(d_slope, e, lane), load(normed, e, lane)
            mean = mean + u
            along = along + u * x
            parallel = parallel + splat(scale[e]) * load(error, e, lane) * x
            length = length + u * load(slope, e, lane)
        mean, along, parallel, length = mean * part, along * part, parallel * part, length * part
        level, twice = zeros(), zeros()
        for e in range(d):
            u, x, gamma = load(d_slope, e, lane), load(normed, e, lane), splat(scale[e])
            d_scaled = factor * (u - mean - x * along)
            bent = u * parallel + gamma * load(error, e, lane) * along
            d_normed = gamma * gamma * d_scaled - factor * bent
            store(d_scaled, d_error, e, lane)
            store(d_normed, d_slope, e, lane)
            level = level + d_normed
            twice = twice + d_normed * x
        level, twice = level * part, twice * part + length
        for e in range(d):
            left = load(d_slope, e, lane) - level - load(normed, e, lane) * twice
            store(factor * left, d_slope, e, lane)


@njit(**INNER)
@no_type_check
def squared_error(z, targets, scale, shift, eps, count):
    """The sum of ‖LN(z) − target‖² over the tokens."""
    found = zeros()
    for lane in range(0, count, LANES):
        mean, factor = moments(z, len(scale), eps, lane)
        for e in range(len(scale)):
            x = (load(z, e, lane) - mean) * factor
            left = splat(scale[e]) * x + splat(shift[e]) - load(targets, e, lane)
            found = found + until_lane(left * left, count - lane)
    return total(found)


@njit(**INNER)
@no_type_check
def error_backward(d_error, error, normed, d_keys, scale, d_scale, d_shift, count) -> None:
    """Make of the scaled error's gradient that of the targets v - k, and take it from d_keys."""
    for lane in range(0, count, LANES):
        for e in range(len(scale)):
            asked = load(d_error, e, lane)
            scaled = splat(scale[e]) * asked
            grown = load(error, e, lane) * asked + load(normed, e, lane) * scaled
            store(load(d_scale, e, 0) + grown, d_scale, e, 0)
            store(load(d_shift, e, 0) + scaled, d_shift, e, 0)
            store(zeros() - scaled, d_error, e, lane)
            store(load(d_keys, e, lane) + scaled, d_keys, e, lane)


@njit(**INNER)
@no_type_check
def answer(z, queries, rstd, scale, shift, eps, count) -> None:
    """queries + LN(z), in place of z."""
    normalise(z, rstd, len(scale), eps, count)
    for lane in range(0, count, LANES):
        for e in range(len(scale)):
            heard = splat(scale[e]) * load(z, e, lane) + splat(shift[e])
            store(load(queries, e, lane) + heard, z, e, lane)


@njit(**INNER)
@no_type_check
def answer_backward(d_out, d_z, normed, rstd, scale, d_scale, d_shift, count) -> None:
    """Fill in the gradient of z, from that of `answer` and what `normalise` made of z."""
    for lane in range(0, count, LANES):
        for e in range(len(scale)):
            asked = load(d_out, e, lane)
            store(load(d_scale, e, 0) + asked * load(normed, e, lane), d_scale, e, 0)
            store(load(d_shift, e, 0) + asked, d_shift, e, 0)
            store(splat(scale[e]) * asked, d_z, e, lane)
    normalise_backward(d_z, normed, rstd, len(scale), count)
