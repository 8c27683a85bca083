"""Powers, softplus and the sigmoid in float32, in a form that compilers turn into vectors."""

from typing import no_type_check

import llvmlite.ir as ir
import numpy as np
from numba import njit, types
from numba.extending import intrinsic

VECTORS = {"fastmath": {"contract", "nsz"}, "error_model": "numpy"}
"""A product and a sum may be rounded once, and a division need not be watched."""

LOWEST = np.float32(-126)
"""Powers of two below are taken for this one, 1e-38, the least without a loss of digits."""

ONE, ZERO = np.float32(1), np.float32(0)
LOG2_E = np.float32(1 / np.log(2))

# (2^f - 1) / f for |f| <= 1/2, error 2e-9 where it weighs most; the highest power first.
POWER = tuple(
    np.float32(c)
    for c in (1.5357919e-4, 1.33984366e-3, 9.61841874e-3, 5.55033393e-2, 0.2402264810, 0.6931472018)
)
# log(1 + y) / y for 0 <= y <= 1, relative error 3e-8.
LOGARITHM = tuple(
    np.float32(c)
    for c in (
        5.232690695e-3,
        -2.950522891e-2,
        7.822594431e-2,
        -0.1366324605,
        0.1910600743,
        -0.2484298259,
        0.3331909690,
        -0.4999949315,
        0.9999999699,
    )
)


@intrinsic
@no_type_check
def _bits(context, x):
    """The bits of a float32 as int32."""

    def generate(context, builder, signature, values):
        return builder.bitcast(values[0], ir.IntType(32))

    return types.int32(types.float32), generate


@intrinsic
@no_type_check
def _number(context, bits):
    """The float32 of which int32 has the bits."""

    def generate(context, builder, signature, values):
        return builder.bitcast(values[0], ir.FloatType())

    return types.float32(types.int32), generate


@njit(inline="always", **VECTORS)
@no_type_check
def exp2(x) -> np.float32:
    """2^x for x < 128, to 2e-7 of itself where x > -126."""
    x = LOWEST if x < LOWEST else x  # this way round what is not a number stays so
    whole = np.rint(x)
    f = x - whole
    power = POWER[0]
    power = power * f + POWER[1]
    power = power * f + POWER[2]
    power = power * f + POWER[3]
    power = power * f + POWER[4]
    power = power * f + POWER[5]
    power = power * f + ONE
    return _number(_bits(power) + (np.int32(whole) << np.int32(23)))


@njit(inline="always", **VECTORS)
@no_type_check
def softplus(x) -> np.float32:
    """log(1 + e^x), to 3e-7 of itself, and 5e-8 more for each 1 that x is below zero."""
    y = exp2(-abs(x) * LOG2_E)
    ratio = LOGARITHM[0]
    ratio = ratio * y + LOGARITHM[1]
    ratio = ratio * y + LOGARITHM[2]
    ratio = ratio * y + LOGARITHM[3]
    ratio = ratio * y + LOGARITHM[4]
    ratio = ratio * y + LOGARITHM[5]
    ratio = ratio * y + LOGARITHM[6]
    ratio = ratio * y + LOGARITHM[7]
    ratio = ratio * y + LOGARITHM[8]
    return (x if x > ZERO else ZERO) + y * ratio


@njit(inline="always", **VECTORS)
@no_type_check
def sigmoid(x) -> np.float32:
    """1 / (1 + e^-x), the slope of `softplus`, as exact as that."""
    y = exp2(-abs(x) * LOG2_E)
    return (y if x < ZERO else ONE) / (ONE + y)
