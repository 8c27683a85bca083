"""Vectors of 16 float32 for compiled loops: a register of AVX-512, or several of any processor.

A matrix in these loops has tokens in its columns: 16 of them are computed side by side, whatever
the number of channels, and a sum over channels needs no sum within a vector. `read` and `write`
turn tiles of 16 tokens x 16 channels on their way from and to memory, where channels lie together.
Operations keep to what they say: no sum is reordered, what is not a number stays so, only a product
and a sum may be rounded once.
"""

import operator
from collections.abc import Callable
from typing import Any, no_type_check

import llvmlite.ir as ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

LANES = 16

FLAGS = ("contract", "nsz")
I32 = ir.IntType(32)
VECTOR = ir.VectorType(ir.FloatType(), LANES)
INDICES = ir.VectorType(I32, LANES)
MASK = ir.VectorType(ir.IntType(1), LANES)
NOTHING = ir.Constant(VECTOR, ir.Undefined)
ZEROS = ir.Constant(VECTOR, [0.0] * LANES)


class Lanes(types.Type):
    """The type of such a vector."""

    def __init__(self) -> None:
        super().__init__(name="Lanes")


@register_model(Lanes)
class _Model(models.PrimitiveModel):
    @no_type_check
    def __init__(self, manager, front):
        super().__init__(manager, front, VECTOR)


lanes = Lanes()


@no_type_check
def _register(operation, name):
    """Let `operation` work on vectors, element by element."""

    typing: Any = infer_global(operation)

    @typing
    class _Typing(ConcreteTemplate):
        key = operation
        cases = [signature(lanes, lanes, lanes)]

    @lower_builtin(operation, lanes, lanes)
    def _(context, builder, signature, values):
        return getattr(builder, name)(*values, flags=FLAGS)


_register(operator.add, "fadd")
_register(operator.sub, "fsub")
_register(operator.mul, "fmul")
_register(operator.truediv, "fdiv")


@intrinsic
@no_type_check
def zeros(typing):
    """The vector of zeros."""
    return lanes(), lambda *_: ZEROS


@intrinsic
@no_type_check
def splat(typing, x):
    """A float32 in all lanes."""
    return lanes(types.float32), lambda _, builder, signature, values: _splat(builder, *values)


@intrinsic
@no_type_check
def sqrt(typing, x):
    """The square roots."""

    def generate(context, builder, signature, values):
        kind = ir.FunctionType(VECTOR, [VECTOR])
        return builder.call(_function(builder, kind, "llvm.sqrt.v16f32"), values)

    return lanes(lanes), generate


@intrinsic
@no_type_check
def total(typing, x):
    """The sum of all lanes, by halves."""

    def generate(context, builder, signature, values):
        (x,) = values
        for span in (8, 4, 2, 1):
            x = builder.fadd(x, _shuffle(builder, x, x, lambda lane, span=span: lane ^ span))
        return builder.extract_element(x, ir.Constant(I32, 0))

    return types.float32(lanes), generate


@intrinsic
@no_type_check
def from_lane(typing, x, first):
    """Zero in all lanes before `first`."""

    def generate(context, builder, signature, values):
        x, first = values[0], _integer(context, builder, signature, values, 1)
        return builder.select(_compare(builder, ">=", first), x, ZEROS)

    return lanes(x, first), generate


@intrinsic
@no_type_check
def until_lane(typing, x, end):
    """Zero in all lanes from `end` on."""

    def generate(context, builder, signature, values):
        x, end = values[0], _integer(context, builder, signature, values, 1)
        return builder.select(_compare(builder, "<", end), x, ZEROS)

    return lanes(x, end), generate


@intrinsic
@no_type_check
def load(typing, array, i, j):
    """array[i, j : j + 16]; no index may be negative, here and below."""

    def generate(context, builder, signature, values):
        return builder.load(_address(context, builder, signature, values, 0), align=4)

    return lanes(array, i, j), generate


@intrinsic
@no_type_check
def spread(typing, array, i, j):
    """array[i, j] in all lanes."""

    def generate(context, builder, signature, values):
        where = _address(context, builder, signature, values, 0, ir.FloatType())
        return _splat(builder, builder.load(where, align=4))

    return lanes(array, i, j), generate


@intrinsic
@no_type_check
def store(typing, x, array, i, j):
    """x -> array[i, j : j + 16]"""

    def generate(context, builder, signature, values):
        builder.store(values[0], _address(context, builder, signature, values, 1), align=4)
        return context.get_dummy_value()

    return types.void(x, array, i, j), generate


@intrinsic
@no_type_check
def read(typing, array, i, j, step, high, wide, into, row, lane):
    """into[row + c, lane + r] = array[i + step r, j + c] for r, c < 16.

    Where r >= high or c >= wide it is zero, and nothing is read.
    """

    def generate(context, builder, signature, values):
        step, high, wide = (_integer(context, builder, signature, values, at) for at in (3, 4, 5))
        kind = ir.FunctionType(VECTOR, [VECTOR.as_pointer(), I32, MASK, VECTOR])
        masked = _function(builder, kind, "llvm.masked.load.v16f32.p0")
        rows = []
        for mask, at in _rows(builder, step, high, wide):
            where = _address(context, builder, signature, values, 0, beyond=at)
            rows.append(builder.call(masked, [where, ir.Constant(I32, 4), mask, ZEROS]))
        for c, row in enumerate(_turn(builder, rows)):
            down = ir.Constant(ir.IntType(64), c)
            where = _address(context, builder, signature, values, 6, beyond=down)
            builder.store(row, where, align=4)
        return context.get_dummy_value()

    return types.void(array, i, j, step, high, wide, into, row, lane), generate


@intrinsic
@no_type_check
def write(typing, array, i, j, step, high, wide, source, row, lane):
    """array[i + step r, j + c] = source[row + c, lane + r] for r < high, c < wide, up to 16."""

    def generate(context, builder, signature, values):
        step, high, wide = (_integer(context, builder, signature, values, at) for at in (3, 4, 5))
        kind = ir.FunctionType(ir.VoidType(), [VECTOR, VECTOR.as_pointer(), I32, MASK])
        masked = _function(builder, kind, "llvm.masked.store.v16f32.p0")
        columns = []
        for c in range(LANES):
            down = ir.Constant(ir.IntType(64), c)
            where = _address(context, builder, signature, values, 6, beyond=down)
            columns.append(builder.load(where, align=4))
        rows = _turn(builder, columns)
        for row, (mask, at) in zip(rows, _rows(builder, step, high, wide), strict=True):
            where = _address(context, builder, signature, values, 0, beyond=at)
            builder.call(masked, [row, where, ir.Constant(I32, 4), mask])
        return context.get_dummy_value()

    return types.void(array, i, j, step, high, wide, source, row, lane), generate


@no_type_check
def _rows(builder, step, high, wide):
    """For each row of a tile, which of its columns are real, and how far it lies from the first."""
    narrow = builder.trunc(wide, I32)
    for r in range(LANES):
        real = builder.icmp_signed(">", high, ir.Constant(high.type, r))
        mask = _compare(builder, "<", builder.select(real, narrow, ir.Constant(I32, 0)))
        yield mask, builder.mul(step, ir.Constant(step.type, r))


@no_type_check
def _turn(builder, rows):
    """A tile of 16 x 16, rows for columns: halves change places, then quarters, and so on."""
    rows = list(rows)
    for span in (8, 4, 2, 1):
        for i in range(LANES):
            if not i & span:
                one, other = rows[i], rows[i + span]
                rows[i] = _shuffle(
                    builder, one, other, lambda lane, s=span: lane + LANES - s if lane & s else lane
                )
                rows[i + span] = _shuffle(
                    builder, one, other, lambda lane, s=span: lane + LANES if lane & s else lane + s
                )
    return rows


@no_type_check
def _address(context, builder, signature, values, at, kind: ir.Type = VECTOR, beyond=None):
    """Where the array that is argument `at` has the row and column that follow it.

    `beyond` counts rows to go on from there.
    """
    array = context.make_array(signature.args[at])(context, builder, values[at])
    i, j = (_integer(context, builder, signature, values, at + one) for one in (1, 2))
    if beyond is not None:
        i = builder.add(i, beyond)
    where = cgutils.get_item_pointer(
        context, builder, signature.args[at], array, (i, j), wraparound=False
    )
    return builder.bitcast(where, kind.as_pointer())


@no_type_check
def _integer(context, builder, signature, values, at):
    return context.cast(builder, values[at], signature.args[at], types.int64)


@no_type_check
def _splat(builder, x):
    one = builder.insert_element(NOTHING, x, ir.Constant(I32, 0))
    return _shuffle(builder, one, NOTHING, lambda _: 0)


@no_type_check
def _compare(builder, how, number):
    """Which lanes have a number that is < or >= this integer."""
    narrow = builder.trunc(number, I32) if number.type != I32 else number
    one = builder.insert_element(ir.Constant(INDICES, ir.Undefined), narrow, ir.Constant(I32, 0))
    all_ = _shuffle(builder, one, ir.Constant(INDICES, ir.Undefined), lambda _: 0)
    return builder.icmp_signed(how, ir.Constant(INDICES, list(range(LANES))), all_)


def _shuffle(builder: Any, one: Any, other: Any, source: Callable[[int], int]) -> Any:
    """A vector whose lanes are lanes of two others, counted through both."""
    return builder.shuffle_vector(one, other, ir.Constant(INDICES, list(map(source, range(LANES)))))


@no_type_check
def _function(builder, kind, name):
    return cgutils.get_or_insert_function(builder.module, kind, name)
