"""What runs the scans of Mamba, from the plan to the forward pass."""

import pytest
import torch

from segttt.config.overrides import override
from segttt.engine import compute as computing
from segttt.errors import MissingDependencyError, UsageError
from segttt.kernels import backend
from tests.engine.conftest import small_plan


def test_the_choice_of_a_plan_holds_in_the_forward_pass():
    plan = override(small_plan(), {"train.scan": "mamba"})
    with computing.choose("cpu", "fp32", plan.train.scan).forward():
        assert backend._scans == ["mamba"]
    assert backend._scans == []
    with computing.choose("cpu", "bf16").forward():
        assert torch.is_autocast_enabled("cpu")
        assert backend._scans == ["auto"]


def test_other_choices_are_refused():
    with pytest.raises(UsageError, match=r"train\.scan"):
        override(small_plan(), {"train.scan": "cuda"})


def test_a_gpu_without_mamba_is_told_at_once_and_a_cpu_does_not_care(monkeypatch):
    monkeypatch.setattr(backend, "_installed", lambda _: False)
    assert computing.choose("cpu", "fp32", "mamba").scan == "mamba"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert computing.choose("cuda", "fp32").scan == "auto"
    with pytest.raises(MissingDependencyError, match=r"segttt\[mamba\]"):
        computing.choose("cuda", "fp32", "mamba")
    monkeypatch.setattr(backend, "_installed", lambda _: True)
    assert computing.choose("cuda", "fp32", "mamba").scan == "mamba"


def test_no_more_threads_than_cores_are_allotted(monkeypatch):
    told = []
    monkeypatch.setattr(torch, "set_num_threads", told.append)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    monkeypatch.setattr(computing, "usable_cores", lambda: 3)
    computing.use_threads()
    computing.use_threads(5)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)  # as the user's shell asked
    computing.use_threads()
    assert told == [3, 5, 1]


@pytest.mark.parametrize(
    "words",
    [
        "f does not have a deterministic implementation, but you set it.",
        "Deterministic behavior was enabled, but this is not deterministic because of CuBLAS.",
    ],
)
def test_an_operator_that_is_not_reproducible_is_an_error_of_usage(words):
    torch.use_deterministic_algorithms(mode=True)
    try:
        with pytest.raises(UsageError, match="--deterministic"), computing.refused_operators():
            raise RuntimeError(words)
        with pytest.raises(RuntimeError, match="shapes"), computing.refused_operators():
            raise RuntimeError("shapes differ")
    finally:
        torch.use_deterministic_algorithms(mode=False)
    with pytest.raises(RuntimeError, match="deterministic"), computing.refused_operators():
        raise RuntimeError(words)
