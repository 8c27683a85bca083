"""What the machine offers, in findings."""

import pytest
import torch

from segttt.commands import doctor
from segttt.kernels import backend


@pytest.fixture
def installed(monkeypatch):
    """Pretend that exactly these packages are installed."""

    def pretend(*packages: str) -> None:
        monkeypatch.setattr(backend, "_installed", lambda package: package in packages)

    return pretend


def operators() -> dict[str, doctor.Finding]:
    names = {"ttt_linear", "ttt_mlp", "selective_scan"}
    return {one.subject: one for one in doctor.examine() if one.subject in names}


def test_each_operator_is_found_once_with_its_backend(installed):
    installed("numba")
    found = operators()
    assert list(found) == ["ttt_linear", "ttt_mlp", "selective_scan"]
    assert {one.state for one in found.values()} == {"ok"}
    assert found["selective_scan"].text == "CPU: numba (loops compiled for this processor)"
    assert found["ttt_linear"].text.startswith("CPU: reference (")


def test_a_missing_package_is_noted_with_what_to_install(installed):
    installed()
    found = operators()
    assert found["selective_scan"].state == "note"
    assert "pip install 'segttt[cpu]'" in found["selective_scan"].text
    assert found["ttt_linear"].state == "ok"


def test_a_gpu_is_reported_beside_the_cpu(installed, monkeypatch):
    rows = [
        backend.Backend("ttt_linear", "cpu", "reference", "fast here"),
        backend.Backend("ttt_linear", "cuda", "triton", "compute capability 9.0"),
        backend.Backend("selective_scan", "cuda", "reference", "triton is not installed"),
    ]
    monkeypatch.setattr(doctor, "backend_info", lambda: rows)
    found = operators()
    text = "CPU: reference (fast here); GPU: triton (compute capability 9.0)"
    assert found["ttt_linear"] == doctor.Finding("ttt_linear", "ok", text)
    assert found["selective_scan"].state == "note"


def test_the_version_of_torch_with_slow_convolutions_is_a_fault(monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.9.1")
    (finding,) = (one for one in doctor.examine() if one.subject == "torch")
    assert finding.state == "fault"
