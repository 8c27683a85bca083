"""Which implementation of an operator runs, where several could."""

from threading import Thread

import pytest
import torch

from segttt.errors import UsageError
from segttt.kernels import backend

X = torch.zeros(1)


@pytest.fixture
def installed(monkeypatch):
    """Pretend that exactly these packages are installed."""

    def pretend(*packages: str) -> None:
        monkeypatch.setattr(backend, "_installed", lambda package: package in packages)

    return pretend


@pytest.fixture
def gpu(monkeypatch):
    """Pretend that there is a GPU of this compute capability."""

    def pretend(*capability: int, cuda: str | None = "13.0") -> None:
        backend._on_gpu.cache_clear()
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
        monkeypatch.setattr(torch.version, "cuda", cuda)

    yield pretend
    backend._on_gpu.cache_clear()


def fake(device: str, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """A tensor that says it is on a device."""
    return torch.Tensor._make_subclass(_Elsewhere, torch.zeros(1, dtype=dtype)).on(device)


class _Elsewhere(torch.Tensor):
    def on(self, device: str) -> torch.Tensor:
        self._where = torch.device(device)
        return self

    @property
    def device(self) -> torch.device:
        return self._where


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_scan_runs_on_numba_where_that_is_installed(installed, dtype):
    x = X.to(dtype)
    installed("numba", "triton")
    assert backend.chosen(x, "selective_scan") == "numba"
    assert backend.chosen(x, "ttt_mlp") == "reference"
    installed("triton")
    assert backend.chosen(x, "selective_scan") == "reference"


@pytest.mark.parametrize("op", ["selective_scan", "ttt_linear", "ttt_mlp"])
def test_a_gpu_runs_triton_where_it_is_new_enough(installed, gpu, op):
    installed("numba", "triton")
    gpu(9, 0)
    assert backend.chosen(fake("cuda"), op) == "triton"
    assert backend.chosen(fake("cuda", torch.bfloat16), op) == "triton"
    gpu(7, 5)
    assert backend.chosen(fake("cuda"), op) == "reference"
    gpu(9, 0, cuda=None)
    assert backend.chosen(fake("cuda"), op) == "reference"
    gpu(9, 0)
    installed("numba")
    assert backend.chosen(fake("cuda"), op) == "reference"


def test_other_devices_and_float64_run_on_the_reference(installed, gpu):
    installed("numba", "triton")
    gpu(9, 0)
    for x in (fake("mps"), fake("cuda", torch.float64), X.double()):
        assert backend.chosen(x, "selective_scan") == "reference"


def test_forcing_lasts_as_long_as_its_block_and_nests(installed):
    installed("numba", "triton")
    with backend.forced("triton"):
        assert backend.chosen(X, "ttt_linear") == "triton"
        with backend.reference_only():
            assert backend.chosen(X, "selective_scan") == "reference"
        assert backend.chosen(X, "selective_scan") == "triton"
    assert backend.chosen(X, "selective_scan") == "numba"


def test_forcing_ends_with_an_error_too(installed):
    installed("numba")
    with pytest.raises(ZeroDivisionError), backend.reference_only():
        _ = 1 / 0
    assert backend.chosen(X, "selective_scan") == "numba"


def test_forcing_reaches_other_threads(installed):
    """Those in which autograd goes back through what ran on a GPU."""
    installed("numba")
    seen = []
    with backend.reference_only():
        thread = Thread(target=lambda: seen.append(backend.chosen(X, "selective_scan")))
        thread.start()
        thread.join()
    assert seen == ["reference"]


def test_nothing_can_be_forced_that_is_not_there(installed):
    installed("numba")
    with pytest.raises(UsageError, match="needs the package triton"), backend.forced("triton"):
        pass
    with backend.forced("numba"), pytest.raises(UsageError, match="ttt_mlp has no numba"):
        backend.chosen(X, "ttt_mlp")


def test_the_report_names_every_operator_and_device_with_a_reason(installed, gpu):
    installed("numba", "triton")
    gpu(9, 0)
    rows = backend.backend_info()
    assert [(row.operator, row.device, row.backend) for row in rows] == [
        ("ttt_linear", "cpu", "reference"),
        ("ttt_linear", "cuda", "triton"),
        ("ttt_mlp", "cpu", "reference"),
        ("ttt_mlp", "cuda", "triton"),
        ("selective_scan", "cpu", "numba"),
        ("selective_scan", "cuda", "triton"),
    ]
    gpu(7, 5)
    whys = {row.why for row in backend.backend_info() if row.device == "cuda"}
    assert whys == {"compute capability 7.5, kernels need 8.0"}


def test_the_report_says_how_to_get_a_faster_one(installed, monkeypatch):
    installed()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (scan,) = (row for row in backend.backend_info() if row.operator == "selective_scan")
    assert scan.backend == "reference"
    assert "pip install" in scan.why
