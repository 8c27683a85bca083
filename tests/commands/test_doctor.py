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
        monkeypatch.setattr(backend, "_fault", lambda _: "")

    return pretend


def operators() -> dict[str, doctor.Finding]:
    names = {"ttt_linear", "ttt_mlp", "selective_scan"}
    return {one.subject: one for one in doctor.examine() if one.subject in names}


def test_each_operator_is_found_once_with_its_backend(installed):
    installed("numba")
    found = operators()
    assert list(found) == ["ttt_linear", "ttt_mlp", "selective_scan"]
    assert {one.state for one in found.values()} == {"ok"}
    assert {one.text for one in found.values()} == {
        "CPU: numba (loops compiled for this processor)"
    }


def test_a_missing_package_is_noted_with_what_to_install(installed):
    installed()
    for one in operators().values():
        assert one.state == "note"
        assert "pip install 'segttt[cpu]'" in one.text


def test_a_gpu_is_reported_beside_the_cpu(installed, monkeypatch):
    rows = [
        backend.Backend("ttt_linear", "cpu", "numba", "fast here"),
        backend.Backend("ttt_linear", "cuda", "triton", "compute capability 9.0"),
        backend.Backend("selective_scan", "cuda", "reference", "triton is not installed"),
    ]
    monkeypatch.setattr(doctor, "backend_info", lambda: rows)
    found = operators()
    text = "CPU: numba (fast here); GPU: triton (compute capability 9.0)"
    assert found["ttt_linear"] == doctor.Finding("ttt_linear", "ok", text)
    assert found["selective_scan"].state == "note"


def test_the_version_of_torch_with_slow_convolutions_is_a_fault(monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.9.1")
    (finding,) = (one for one in doctor.examine() if one.subject == "torch")
    assert finding.state == "fault"


@pytest.mark.parametrize(
    ("scans", "state", "text"),
    [
        (True, "ok", "2.3; --set train.scan=mamba runs the scans of Mamba on a GPU by it"),
        (False, "note", "2.3, without its CUDA scan; nothing needs it"),
    ],
)
def test_mamba_is_reported_with_how_to_choose_it(monkeypatch, scans, state, text):
    monkeypatch.setattr(doctor, "find_spec", lambda _: object())
    monkeypatch.setattr(doctor, "version", lambda _: "2.3")
    monkeypatch.setattr(doctor, "has_mamba", lambda: scans)
    assert doctor._mamba() == doctor.Finding("mamba-ssm", state, text)
