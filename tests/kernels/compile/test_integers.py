"""The integers of PTX come out as its manual says."""

import numpy as np
import pytest

from tests.kernels.compile.integers import State, bytes_of

MANY = np.ones(1, bool)


def result(operation: str, *given: int | str) -> int | None:
    state = State(64, [-5, None], (7, 1, 1), (3, 0, 0))
    state.do(operation, ("%rd1", *(str(one) for one in given)), MANY)
    found = state.registers["%rd1"]
    return None if found is None else int(found[0])


@pytest.mark.parametrize(
    ("operation", "given", "expected"),
    [
        ("add.s32", (2**31 - 1, 1), -(2**31)),
        ("add.s64", (2**31 - 1, 1), 2**31),
        ("sub.s32", (3, 5), -2),
        ("mul.lo.s32", (2**20, 2**20), 0),
        ("mul.wide.s32", (-(2**20), 2**20), -(2**40)),
        ("mul.wide.u32", (-1, 2), 2 * (2**32 - 1)),
        ("mul.hi.u32", (-1, 16), 15),
        ("mad.lo.s32", (3, 4, 5), 17),
        ("mad.wide.u32", (-1, 4, -4), 4 * (2**32 - 1) - 4),
        ("mad.wide.s32", (-1, 4, 2**40), 2**40 - 4),
        ("div.s32", (-7, 2), -3),
        ("rem.s32", (-7, 2), -1),
        ("div.u32", (-1, 2**16), 2**16 - 1),
        ("div.s64", (7 * 2**40, -(2**40)), -7),
        ("min.s32", (-1, 3), -1),
        ("min.u32", (-1, 3), 3),
        ("shl.b32", (3, 31), -(2**31)),
        ("shr.s32", (-8, 1), -4),
        ("shr.u32", (-8, 1), 2**31 - 4),
        ("shr.u64", (-8, 60), 15),
        ("and.b32", (-1, 96), 96),
        ("xor.b32", (5, 1), 4),
        ("not.b32", (0,), -1),
        ("bfe.u32", (0b1011000, 3, 2), 3),
        ("bfe.s32", (0b1011000, 3, 2), -1),
        ("cvt.s64.s32", (-1,), -1),
        ("cvt.u64.u32", (-1,), 2**32 - 1),
        ("cvt.u32.u64", (2**32 + 5,), 5),
        ("ld.param.s32", ("[kernel_param_0]",), -5),
        ("ld.param.b32", ("[kernel_param_1]",), None),
        ("mov.u32", ("%ctaid.x",), 3),
        ("mov.u32", ("%nctaid.x",), 7),
        ("mov.b32", ("0f3F800000",), None),
        ("add.f32", (1, 2), None),
        ("popc.b32", (7,), None),
        ("add.s32", ("%r9", 1), None),
    ],
)
def test_one_number(operation, given, expected):
    assert result(operation, *given) == expected


@pytest.mark.parametrize(
    ("operation", "given", "expected"),
    [
        ("setp.lt.s32", (-1, 3), True),
        ("setp.lt.u32", (-1, 3), False),
        ("setp.ne.b64", (2**40, 0), True),
        ("and.pred", (-1, 0), False),
        ("not.pred", (0,), True),
    ],
)
def test_conditions(operation, given, expected):
    state = State(64, [], (1, 1, 1), (0, 0, 0))
    state.do(operation, ("%p1", *(str(one) for one in given)), MANY)
    assert bool(state.registers["%p1"][0]) is expected
    state.do("selp.b32", ("%r1", "10", "20", "%p1"), MANY)
    assert int(state.registers["%r1"][0]) == (10 if expected else 20)


def test_threads_read_from_threads_of_their_own_warp():
    state = State(64, [], (1, 1, 1), (0, 0, 0))
    state.do("mov.u32", ("%r1", "%tid.x"), MANY)
    state.do("shfl.sync.bfly.b32", ("%r2", "%r1", "1", "31", "-1"), MANY)
    assert state.registers["%r2"].tolist() == [i ^ 1 for i in range(64)]
    state.do("shfl.sync.idx.b32", ("%r3|%p1", "%r1", "0", "31", "-1"), MANY)
    assert state.registers["%r3"].tolist() == [0] * 32 + [32] * 32


def test_where_a_thread_takes_no_part_its_number_stays():
    state = State(4, [], (1, 1, 1), (0, 0, 0))
    state.do("mov.u32", ("%r1", "%tid.x"), MANY)
    state.do("mov.b32", ("%r1", "9"), np.array([True, False, False, True]))
    assert state.registers["%r1"].tolist() == [9, 1, 2, 9]


def test_halves_make_a_whole_and_come_apart():
    state = State(1, [], (1, 1, 1), (0, 0, 0))
    state.do("mov.b64", ("%rd1", "{-1, 2}"), MANY)
    assert int(state.registers["%rd1"][0]) == 2 * 2**32 + 2**32 - 1
    state.do("mov.b64", ("{%r1, %r2}", "%rd1"), MANY)
    assert (int(state.registers["%r1"][0]), int(state.registers["%r2"][0])) == (-1, 2)


def test_bytes_that_a_thread_moves():
    assert [bytes_of(x) for x in ("ld.global.b32", "st.global.v4.b32", "ld.global.v2.b16")] == [
        4,
        16,
        4,
    ]
