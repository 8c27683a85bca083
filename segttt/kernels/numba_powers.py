"""Powers of two of vectors, and choices by sign."""

from typing import no_type_check

import llvmlite.ir as ir
import numpy as np
from numba import njit
from numba.core import cgutils
from numba.extending import intrinsic

from segttt.kernels.numba_lanes import INDICES, LANES, VECTOR, ZEROS, lanes, splat
from segttt.kernels.numba_products import INNER
from segttt.kernels.selective_scan.numba_math import LOWEST, POWER

ONE = np.float32(1)
MANTISSA = ir.Constant(INDICES, [23] * LANES)


@intrinsic
@no_type_check
def _rint(typing, x):
    """The nearest whole numbers."""

    def generate(context, builder, signature, values):
        kind = ir.FunctionType(VECTOR, [VECTOR])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.rint.v16f32")
        return builder.call(function, values)

    return lanes(lanes), generate


@intrinsic
@no_type_check
def _times_power(typing, x, whole):
    """x 2^whole"""

    def generate(context, builder, signature, values):
        power = builder.shl(builder.fptosi(values[1], INDICES), MANTISSA)
        return builder.bitcast(builder.add(builder.bitcast(values[0], INDICES), power), VECTOR)

    return lanes(lanes, lanes), generate


@intrinsic
@no_type_check
def where_less(typing, x, bound, yes, no):
    """`yes` where x < bound, elsewhere, also where x is not a number, `no`."""

    def generate(context, builder, signature, values):
        return builder.select(builder.fcmp_ordered("<", *values[:2]), *values[2:])

    return lanes(lanes, lanes, lanes, lanes), generate


@intrinsic
@no_type_check
def minus_absolute(typing, x):
    """-|x|"""

    def generate(context, builder, signature, values):
        (x,) = values
        return builder.select(builder.fcmp_ordered(">", x, ZEROS), builder.fsub(ZEROS, x), x)

    return lanes(lanes), generate


@njit(**INNER)
@no_type_check
def exp2(x):
    """2^x for x < 128, to 2e-7 of itself where x > -126."""
    x = where_less(x, splat(LOWEST), splat(LOWEST), x)  # what is not a number stays so
    whole = _rint(x)
    f = x - whole
    power = splat(POWER[0])
    power = power * f + splat(POWER[1])
    power = power * f + splat(POWER[2])
    power = power * f + splat(POWER[3])
    power = power * f + splat(POWER[4])
    power = power * f + splat(POWER[5])
    return _times_power(power * f + splat(ONE), whole)
