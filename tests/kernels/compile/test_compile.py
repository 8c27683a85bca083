"""Every GPU kernel compiles for the GPUs it is meant for, and stays within its limits."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def compiled(monkeypatch):
    """Rows of the table, made in a process whose kernels are not interpreted."""
    monkeypatch.delenv("TRITON_INTERPRET")

    def run(*options: str) -> list[dict]:
        command = [sys.executable, "-m", "tests.kernels.compile.table", "--json", *options]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


def test_each_kernel_keeps_its_limits(compiled):
    assert [row for row in compiled() if row["faults"]] == []


@pytest.mark.slow
def test_the_whole_table_keeps_its_limits(compiled):
    assert [row for row in compiled("--whole") if row["faults"]] == []


def test_what_breaks_a_limit_is_named(compiled):
    """The sample has a kernel that spills, and one that may take no time."""
    rows = compiled("--whole", "--only", "tests.kernels.compile.sample")
    faults = {(row["name"], row["capability"]): row["faults"] for row in rows}
    assert list(faults) == [
        ("double 256", 90),
        ("double 512", 90),
        ("centred 128", 90),
        ("double 256", 80),
        ("double 256", 120),
    ]
    assert faults.pop(("double 512", 90))[0].endswith("seconds to compile, limit 0.0")
    assert faults.pop(("centred 128", 90))[0].endswith("bytes of stack, limit 16")
    assert not any(faults.values())


def test_one_specimen_stands_for_its_kernel_unless_all_are_asked_for(compiled):
    rows = compiled("--only", "tests.kernels.compile.sample")
    assert [row["name"] for row in rows if row["capability"] == 90] == ["double 256", "centred 128"]
