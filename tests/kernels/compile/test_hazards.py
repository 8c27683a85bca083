"""Programs use memory in a certain order; a kernel that does not is found, and named."""

import pytest

from tests.kernels.compile import hazards

pytest.importorskip("triton")

HEAD = """
.visible .entry kernel(
	.param .u64 .ptr .global .align 16 kernel_param_0,
	.param .u32 kernel_param_1
)
.reqntid 64
{
	ld.param.b64 	%rd1, [kernel_param_0];
	ld.param.b32 	%r9, [kernel_param_1];
	mov.u32 	%r1, %tid.x;
	mad.wide.u32 	%rd2, %r1, 4, %rd1;
"""
BEGIN, SIZE = 1 << 40, 64 * 4 + 4


def faults(body: str, number: int = 0) -> list[str]:
    """Of 64 threads; %rd2 is where each has a number, of which the last belongs to no thread."""
    memory = [hazards.Memory(BEGIN, SIZE)]
    code = HEAD + "".join(f"\t{line};\n" for line in body.splitlines()) + "\tret;\n}\n"
    return hazards.faults(code, hazards.Launch([BEGIN, number], (1, 1, 1), memory))


STORE, NEXT = "st.global.b32 [%rd2], %r1", "ld.global.b32 %r2, [%rd2+4]"
OTHER_HALF = "xor.b32 %r3, %r1, 32\nmad.wide.u32 %rd3, %r3, 4, %rd1\nld.global.b32 %r2, [%rd3]"
MEETS = ["an unknown line stores what an unknown line uses, between barriers"]
COPY = "cp.async.ca.shared.global [%r1], [%rd2], 0x4, %r9"
GROUP = "cp.async.commit_group"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (f"{STORE}\nld.global.b32 %r2, [%rd2]", []),
        (f"{STORE}\n{NEXT}", MEETS),
        (f"{NEXT}\n{STORE}", MEETS),
        (f"{STORE}\nbar.sync 0\n{NEXT}", []),
        (f"{STORE}\nbar.warp.sync -1\n{NEXT}", MEETS),
        (f"{STORE}\n{OTHER_HALF}", MEETS),
        (f"{STORE}\nbar.warp.sync -1\n{OTHER_HALF}", MEETS),
        (f"{STORE}\nbar.sync 0\n{OTHER_HALF}", []),
        ("st.global.b32 [%rd1], %r1", MEETS),
        ("setp.eq.s32 %p1, %r1, 5\n@%p1 st.global.b32 [%rd1], %r1", []),
        (f"{STORE}\nsetp.eq.s32 %p1, %r1, 63\n@%p1 {NEXT}", []),
        (f"{STORE}\nsetp.eq.s32 %p1, %r1, 62\n@%p1 {NEXT}", MEETS),
    ],
)
def test_threads_that_meet_have_a_barrier_between(body, expected):
    assert faults(body) == expected


def test_a_warp_s_own_barrier_serves_its_threads():
    """Threads in pairs: each loads what the other has stored, of the same warp."""
    pair = "xor.b32 %r3, %r1, 1\nmad.wide.u32 %rd3, %r3, 4, %rd1\nld.global.b32 %r2, [%rd3]"
    assert faults(f"{STORE}\n{pair}") == MEETS
    assert faults(f"{STORE}\nbar.warp.sync -1\n{pair}") == []


@pytest.mark.parametrize(
    ("then", "real", "found"),
    [
        ("", 4, True),
        ("cp.async.wait_group 0", 4, False),
        ("cp.async.wait_group 1", 4, True),
        (f"{GROUP}\ncp.async.wait_group 1", 4, False),
        (f"{GROUP}\ncp.async.wait_group 2", 4, True),
        ("cp.async.wait_all", 4, False),
        ("", 0, False),
    ],
)
def test_nothing_is_stored_where_a_copy_has_not_ended(then, real, found):
    """A copy of no bytes, as behind a mask, copies nothing."""
    body = "\n".join(x for x in (COPY, GROUP, then, STORE) if x)
    wanted = "an unknown line stores what an unknown line has not yet copied"
    assert faults(body, real) == ([wanted] if found else [])


def test_what_is_stored_is_not_loaded_from_the_read_only_cache():
    (found,) = faults(f"ld.global.nc.b32 %r2, [%rd2]\n{STORE}")
    assert found == "an unknown line loads from the read-only cache what is stored"
    assert faults("ld.global.nc.b32 %r2, [%rd2]") == []


def test_what_lies_outside_is_named():
    assert faults("ld.global.b32 %r2, [%rd2+8]") == ["an unknown line leaves the tensors"]
    assert faults("ld.global.b32 %r2, [%rd2-4]") == ["an unknown line leaves the tensors"]
    assert faults("ld.global.v2.b32 {%r2, %r3}, [%rd2]") == []
    assert faults("ld.global.v2.b32 {%r2, %r3}, [%rd2+4]") != []


def test_loops_are_followed_as_often_as_they_turn():
    """In round i each thread stores into number i: one thread alone in all rounds, or another."""
    for turns, expected in ((1, []), (2, MEETS)):
        body = (
            "mov.b32 %r4, 0\n$again:\nsetp.eq.s32 %p1, %r1, %r4\nmad.wide.s32 %rd4, %r4, 0, %rd1\n"
            "@%p1 st.global.b32 [%rd4], %r1\nadd.s32 %r4, %r4, 1\n"
            "setp.lt.s32 %p2, %r4, %r9\n@%p2 bra $again"
        ).replace("$again:\n", "$again:;\n")
        assert faults(body, turns) == expected


def test_an_address_that_hangs_on_a_tensor_is_refused():
    body = "ld.global.b32 %r2, [%rd2]\nmad.wide.s32 %rd4, %r2, 4, %rd1\nld.global.b32 %r3, [%rd4]"
    (found,) = faults(body)
    assert found.startswith("its memory is not understood: the address")


def test_a_branch_around_numbers_is_passed_over_but_not_one_around_a_store():
    """Which way it goes hangs on a real number, and threads part ways."""
    skip = "ld.global.b32 %r2, [%rd2]\nsetp.lt.f32 %p1, %r2, 0f00000000\n@%p1 bra $past\n{}\n$past:"
    assert faults(skip.format("add.f32 %r2, %r2, %r2")) == []
    (found,) = faults(skip.format(STORE))
    assert found.startswith("its memory is not understood: a condition")


def test_samples_that_are_wrong_are_named_and_those_that_are_right_are_not(compiled):
    rows = compiled("--only", "tests.kernels.compile.sample_calls", script="launched")
    found = {row["call"]: row["faults"] for row in rows}
    wrong = {name: one for name, one in found.items() if one}
    assert len(found) == 11
    assert set(wrong) == {
        "turned without",
        "around without",
        "ahead of the next",
        "programs over each other",
        "in place, over each other",
        "beyond the end",
    }
    for name in ("turned without", "around without"):
        assert wrong[name][0].endswith(", between barriers")
    for name in ("programs over each other", "in place, over each other"):
        assert wrong[name][0].endswith(", by two programs")
    assert wrong["ahead of the next"][0].endswith("has not yet copied")
    assert all(one.endswith("leaves the tensors") for one in wrong["beyond the end"])


def test_one_call_of_each_operator_uses_memory_in_order(compiled):
    rows = compiled(script="launched")
    assert len({row["kernel"] for row in rows}) > 20
    assert [row for row in rows if row["faults"]] == []


@pytest.mark.slow
def test_all_calls_of_all_operators_use_memory_in_order(compiled):
    assert [row for row in compiled("--whole", script="launched") if row["faults"]] == []
