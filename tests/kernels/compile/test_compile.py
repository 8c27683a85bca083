"""Every GPU kernel compiles for the GPUs it is meant for, and stays within its limits."""

import re

import pytest

pytest.importorskip("triton")

FIRST_CALL_SECONDS = 60
"""Processor time; a first step takes 5 to 14 s of a core."""


def test_the_whole_table_keeps_its_limits(compiled):
    assert [row for row in compiled("--whole") if row["faults"]] == []


def test_what_breaks_a_limit_is_named(compiled):
    """The sample has a kernel that spills, one that may take no time, and one whose offsets are of
    32 bits: 2^24 programs times 256."""
    rows = compiled("--whole", "--only", "tests.kernels.compile.sample")
    faults = {(row["name"], row["capability"]): row["faults"] for row in rows}
    every = ["double 256", "near 256", "centred 128"]
    tuned = ["double 256", "double 512", "near 256", "centred 128"]
    assert [name for name, capability in faults if capability == 90] == tuned
    assert faults.pop(("double 512", 90))[0].endswith("seconds to compile, limit 0.0")
    for capability, limit in ((90, 16), (80, 1024), (120, 1024)):
        found = [faults.pop((name, capability)) for name in every]
        assert not found[0]
        assert re.fullmatch(r"arith.muli from 0 to 4.3e\+09 in 32 bits, sample.py:\d+", *found[1])
        assert found[2][0].endswith(f"bytes of stack, limit {limit}")
    assert not faults


def test_one_specimen_stands_for_its_kernel_unless_all_are_asked_for(compiled):
    rows = compiled("--only", "tests.kernels.compile.sample")
    assert [row["name"] for row in rows if row["capability"] == 90] == [
        "double 256",
        "near 256",
        "centred 128",
    ]


def test_the_first_step_of_a_network_compiles_forward_and_backward(compiled):
    (found,) = compiled("mm-unet", script="first_call")
    kernels = {"scan_kernel", "ends_kernel", "carry_kernel", "gate_kernel", "gradient_kernel"}
    kernels |= {"conv_kernel", "conv_gradient_kernel"}
    assert set(found["forms"]) == kernels
    assert 0 < found["seconds"] < FIRST_CALL_SECONDS


@pytest.mark.slow
def test_the_first_step_of_every_network_compiles_within_a_minute(compiled):
    found = {one["network"]: one["seconds"] for one in compiled(script="first_call")}
    assert len(found) == 4
    assert max(found.values()) < FIRST_CALL_SECONDS
