"""gelu in its tanh form and two derivatives, in compiled loops.

With u = RATE (z + CUBIC z³) and s = 1 / (1 + e^-2u), gelu(z) = z s: what `gelu.py` writes with a
tanh, 2s - 1. As there, the vanishing s (1 - s) comes before the growing powers of z.
"""

from math import log
from typing import no_type_check

import numpy as np
from numba import njit

from segttt.kernels.numba_lanes import LANES, load, splat, store, zeros
from segttt.kernels.numba_powers import exp2, minus_absolute, where_less
from segttt.kernels.numba_products import INNER
from segttt.kernels.selective_scan.numba_math import LOWEST
from segttt.kernels.ttt_mlp import gelu as definition

ONE, TWO = np.float32(1), np.float32(2)
CUBIC, THRICE = np.float32(definition.CUBIC), np.float32(3 * definition.CUBIC)
RATE, BEND = np.float32(2 * definition.RATE), np.float32(12 * definition.RATE * definition.CUBIC)
POWER = np.float32(2 * definition.RATE / log(2))


@njit(**INNER)
@no_type_check
def _sigmoid(z):
    """s, s (1 - s) d(2u)/dz, and d(2u)/dz."""
    square = z * z
    exponent = minus_absolute(z * (splat(ONE) + splat(CUBIC) * square)) * splat(POWER)
    fall = where_less(exponent, splat(LOWEST), zeros(), exp2(exponent))
    high = splat(ONE) / (splat(ONE) + fall)
    low = fall * high
    rise = splat(RATE) * (splat(ONE) + splat(THRICE) * square)
    return where_less(z, zeros(), low, high), low * high * rise, rise


@njit(**INNER)
@no_type_check
def gelu(z, value, steepness, rows, count) -> None:
    """Fill in gelu(z), which may take the place of z, and gelu'(z)."""
    for lane in range(0, count, LANES):
        for i in range(rows):
            now = load(z, i, lane)
            share, slope, _ = _sigmoid(now)
            store(now * share, value, i, lane)
            store(share + slope * now, steepness, i, lane)


@njit(**INNER)
@no_type_check
def curvature(z, rows, count) -> None:
    """gelu''(z) in the place of z."""
    for lane in range(0, count, LANES):
        for i in range(rows):
            now = load(z, i, lane)
            share, slope, rise = _sigmoid(now)
            bent = share * (splat(ONE) - share) * splat(BEND) * now
            bent = bent - (splat(TWO) * share - splat(ONE)) * slope * rise
            store(splat(TWO) * slope + bent * now, z, i, lane)
