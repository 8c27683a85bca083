"""Which implementation of an operator runs, where several could."""

from threading import Thread

import pytest
import torch

from segttt.errors import MissingDependencyError, UsageError
from segttt.kernels import backend

X = torch.zeros(1)


@pytest.fixture
def installed(monkeypatch):
    """Pretend that exactly these packages are installed."""

    def pretend(*packages: str) -> None:
        monkeypatch.setattr(backend, "_installed", lambda package: package in packages)
        monkeypatch.setattr(backend, "_fault", lambda _: "")

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


def test_a_numba_that_does_not_load_is_told_and_left_out(tmp_path, monkeypatch):
    old = tmp_path / "too_old_for_numpy"
    old.mkdir()
    complaint = "Numba needs NumPy 2.2 or less. Got NumPy 2.9."
    (old / "__init__.py").write_text(f"raise ImportError({complaint!r})\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    fault = backend._fault(old.name)
    assert fault == complaint
    monkeypatch.setattr(backend, "_installed", lambda _: True)
    monkeypatch.setattr(backend, "_fault", lambda _: fault)
    assert backend.chosen(X, "selective_scan") == "reference"
    whys = {row.operator: row.why for row in backend.backend_info() if row.device == "cpu"}
    assert whys["ttt_mlp"] == f"numba is installed, but cannot be imported: {complaint}"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("op", ["causal_conv", "selective_scan", "ttt_linear", "ttt_mlp"])
def test_a_cpu_runs_numba_where_that_is_installed(installed, op, dtype):
    x = X.to(dtype)
    installed("numba", "triton")
    assert backend.chosen(x, op) == "numba"
    installed("triton")
    assert backend.chosen(x, op) == "reference"


@pytest.mark.parametrize(
    "op", ["causal_conv", "selective_scan", "ttt_inputs", "ttt_linear", "ttt_mlp"]
)
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
    with backend.forced("numba"), pytest.raises(UsageError, match="float64 to the reference"):
        backend.chosen(X.double(), "ttt_mlp")


def test_the_report_names_every_operator_and_device_with_a_reason(installed, gpu):
    installed("numba", "triton")
    gpu(9, 0)
    rows = backend.backend_info()
    assert [(row.operator, row.device, row.backend) for row in rows] == [
        ("ttt_inputs", "cpu", "reference"),
        ("ttt_inputs", "cuda", "triton"),
        ("ttt_linear", "cpu", "numba"),
        ("ttt_linear", "cuda", "triton"),
        ("ttt_mlp", "cpu", "numba"),
        ("ttt_mlp", "cuda", "triton"),
        ("causal_conv", "cpu", "numba"),
        ("causal_conv", "cuda", "triton"),
        ("selective_scan", "cpu", "numba"),
        ("selective_scan", "cuda", "triton"),
    ]
    whys = {row.operator: row.why for row in rows if row.device == "cuda"}
    assert whys["ttt_linear"] == "compute capability 9.0"
    limits = "; heads of up to 128 channels, mini-batches of up to 1024 tokens, else"
    assert limits in whys["ttt_mlp"]
    gpu(7, 5)
    whys = {row.why for row in backend.backend_info() if row.device == "cuda"}
    assert whys == {"compute capability 7.5, kernels need 8.0"}


def test_the_report_says_how_to_get_a_faster_one(installed, monkeypatch):
    installed()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for row in backend.backend_info():
        assert row.backend == "reference"
        assert ("pip install 'segttt[cpu]'" in row.why) == (row.operator != "ttt_inputs")


def test_mamba_scans_where_it_was_chosen_on_a_gpu_only(installed):
    installed("mamba_ssm", "selective_scan_cuda")
    gpu_tensor = fake("cuda")
    assert not backend.scans_by_mamba(gpu_tensor)
    with backend.scanning("mamba"):
        assert backend.scans_by_mamba(gpu_tensor)
        assert backend.scans_by_mamba(fake("cuda", torch.bfloat16))
        assert not backend.scans_by_mamba(fake("cuda", torch.float64))
        assert not backend.scans_by_mamba(X)
        with backend.scanning("auto"):
            assert not backend.scans_by_mamba(gpu_tensor)
        with backend.reference_only():
            assert not backend.scans_by_mamba(gpu_tensor)
    assert not backend.scans_by_mamba(gpu_tensor)


@pytest.mark.parametrize("packages", [(), ("mamba_ssm",), ("selective_scan_cuda",)])
def test_mamba_needs_its_cuda_scan(installed, packages):
    installed(*packages)
    with pytest.raises(MissingDependencyError, match=r"segttt\[mamba\].*train.scan=auto"):
        backend.require_mamba()
    installed("mamba_ssm", "selective_scan_cuda")
    backend.require_mamba()


def test_the_report_says_whether_mamba_is_installed_and_chosen(installed, gpu):
    gpu(9, 0)

    def scan_row() -> backend.Backend:
        rows = backend.backend_info()
        return next(r for r in rows if (r.operator, r.device) == ("selective_scan", "cuda"))

    installed("triton")
    assert "mamba" not in scan_row().why
    installed("triton", "mamba_ssm", "selective_scan_cuda")
    row = scan_row()
    assert row.backend == "triton"
    assert row.why.endswith("mamba-ssm is installed, train.scan=mamba chooses it")
    with backend.scanning("mamba"):
        row = scan_row()
        assert (row.backend, row.why) == ("mamba", "chosen by train.scan=mamba")
        others = [one.backend for one in backend.backend_info() if one.operator == "ttt_linear"]
        assert others == ["reference", "triton"]
