"""Every backend that is here against the definition, in float32, bfloat16 and float16."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.kernels import accuracy

ROOT = Path(__file__).resolve().parents[2]
CASES = [case for case in accuracy.cases("cpu") if "ttt" not in case.name or "t=16" in case.name]


@pytest.mark.parametrize("kind", accuracy.LIMITS, ids=str)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_cpu_computes_what_is_defined(case, kind):
    assert accuracy.faults(case, kind, "cpu") == []


def test_wrong_numbers_are_found():
    case = CASES[0]
    rounded = lambda *x: case.call(*x) * (1 if x[0].dtype == torch.float64 else 1.001)  # noqa: E731
    wrong = replace(case, call=rounded)
    found = accuracy.faults(wrong, torch.float32, "cpu")
    assert len(found) > len(case.given) // 2
    assert "output is off by 1.0e-03, allowed 1e-05" in found[0]


def test_results_that_change_from_run_to_run_are_found():
    case, calls = CASES[0], []
    changing = replace(case, call=lambda *x: case.call(*x) + 1e-7 * (calls.append(0) or len(calls)))
    assert "output differs from run to run" in accuracy.faults(changing, torch.float32, "cpu")[0]


def test_a_read_beyond_the_end_is_found():
    case = CASES[0]

    def greedy(first, *others):
        beyond = first.as_strided((1,), (1,), first.storage_offset() + first.numel())
        return case.call(first, *others) + beyond.to(first.dtype)

    found = accuracy.faults(replace(case, call=greedy), torch.float32, "cpu")
    assert any("output is off by nan" in one for one in found)


def test_the_last_of_many_samples_gets_what_it_gets_alone():
    """Few of them here; on a GPU, so many that their numbers have no index of 32 bits."""
    assert accuracy.long_faults("cpu", numbers=256, n=64) == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="a GPU is what is tested")
def test_a_gpu_computes_what_is_defined(monkeypatch):
    """In a process of its own, whose kernels are not interpreted."""
    monkeypatch.delenv("TRITON_INTERPRET")
    command = [sys.executable, "-m", "tests.kernels.accuracy", "--long"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []
