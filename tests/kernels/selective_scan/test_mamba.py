"""The selective scan by mamba-ssm: its call, gradients and choice, against a stand-in for it."""

import sys
from importlib.machinery import ModuleSpec
from itertools import product
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from segttt.errors import MissingDependencyError
from segttt.kernels import backend
from segttt.kernels.selective_scan import cpu, mamba, reference
from segttt.kernels.selective_scan.op import selective_scan

NAMES = ("mamba_ssm", "mamba_ssm.ops", "mamba_ssm.ops.selective_scan_interface")


def selective_scan_fn(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
) -> Tensor:
    """As mamba-ssm documents its function of that name, for entrances and exits per token.

    u, delta, z [b, d, l]; A [d, s]; B, C [b, s, l], or [b, g, s, l] for g groups of channels; D,
    delta_bias [d]. Weights are float32, all others have one dtype.
    """
    assert not return_last_state
    assert {x.dtype for x in (A, D, delta_bias) if x is not None} == {torch.float32}
    assert {x.dtype for x in (u, delta, B, C, z) if x is not None} == {u.dtype}
    given = u.dtype
    u, delta = u.double(), delta.double()
    A, B, C = A.double(), *(x.double() if x.dim() == 4 else x[:, None].double() for x in (B, C))
    if delta_bias is not None:
        delta = delta + delta_bias.double()[:, None]
    if delta_softplus:
        delta = F.softplus(delta)
    each = u.shape[1] // B.shape[1]
    B, C = (x.repeat_interleave(each, 1) for x in (B, C))  # [b, d, s, l]
    state, outs = torch.zeros(*u.shape[:2], A.shape[1], dtype=torch.float64), []
    for t in range(u.shape[2]):
        decay = torch.exp(delta[:, :, t, None] * A)
        state = decay * state + (delta[:, :, t] * u[:, :, t])[..., None] * B[..., t]
        outs.append((state * C[..., t]).sum(-1))
    out = torch.stack(outs, -1)
    if D is not None:
        out = out + D.double()[:, None] * u
    return (out if z is None else out * F.silu(z.double())).to(given)


@pytest.fixture
def installed(monkeypatch):
    """mamba-ssm, or what looks like it."""
    for name in NAMES:
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, module)
    sys.modules[NAMES[-1]].selective_scan_fn = selective_scan_fn
    packages = ("mamba_ssm", "selective_scan_cuda")
    monkeypatch.setattr(backend, "_installed", lambda package: package in packages)


@pytest.fixture
def absent(monkeypatch):
    monkeypatch.setattr(backend, "_installed", lambda _: False)


def single(inputs: list[Tensor], dtype: torch.dtype = torch.float32) -> list[Tensor]:
    return [x.detach().to(dtype).requires_grad_() for x in inputs]


WAYS = {1: ([False], [True]), 2: ([False, False], [False, True], [True, True])}
COMBINATIONS = [
    (g, backwards, merge, gated)
    for g in WAYS
    for backwards, merge, gated in product(WAYS[g], ("none", "sum", "mean"), (False, True))
    if merge != "none" or not gated
]


@pytest.mark.parametrize(("g", "backwards", "merge", "gated"), COMBINATIONS)
def test_output_and_every_gradient_are_those_of_the_definition(
    installed, draw, g, backwards, merge, gated
):
    inputs = single(draw(9, g=g))
    z = torch.randn(2, 9, 5, requires_grad=True) if gated else None
    asked = [*inputs, z] if gated else inputs
    out = mamba.selective_scan(cpu.Inputs(*inputs), backwards, merge, z)
    truth = reference.selective_scan(*inputs, backwards=backwards, merge=merge, z=z)
    torch.testing.assert_close(out, truth, rtol=1e-5, atol=1e-5)
    d_out = torch.randn_like(out)
    ours = torch.autograd.grad(out, asked, d_out)
    truths = torch.autograd.grad(truth, asked, d_out)
    torch.testing.assert_close(ours, truths, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_tokens_with_single_precision_weights(installed, draw, dtype):
    """The stand-in refuses what the CUDA kernels refuse. Rounded once per scan, and once more."""
    given = single(draw(9), dtype)
    given = [x.detach().float() if i in (2, 5, 6) else x for i, x in enumerate(given)]
    out = mamba.selective_scan(cpu.Inputs(*given), [False, True], "sum", None)
    assert out.dtype == dtype
    truth = reference.selective_scan(
        *(x.double() for x in given), backwards=[False, True], merge="sum"
    )
    distance = (out.double() - truth).abs().max()
    assert distance <= 2 * torch.finfo(dtype).eps * truth.abs().max()


def test_the_operator_runs_on_it_where_it_is_chosen(installed, draw, monkeypatch):
    """On a GPU; here the CPU passes for one."""
    inputs, z = single(draw(9)), torch.randn(2, 9, 5)
    how = {"backwards": [False, True], "merge": "mean", "z": z}
    monkeypatch.setattr(backend, "scans_by_mamba", lambda u: backend._scans[-1:] == ["mamba"])
    calls = []
    module = sys.modules[NAMES[-1]]
    monkeypatch.setattr(
        module, "selective_scan_fn", lambda *x, **y: calls.append(1) or selective_scan_fn(*x, **y)
    )
    truth = selective_scan(*inputs, **how)
    assert not calls
    with backend.scanning("mamba"):
        out = selective_scan(*inputs, **how)
    assert calls
    torch.testing.assert_close(out, truth, rtol=1e-5, atol=1e-5)
    grads = torch.autograd.grad(out.sum(), inputs)  # outside of the choice, as a learner does
    truths = torch.autograd.grad(truth.sum(), inputs)
    torch.testing.assert_close(grads, truths, rtol=1e-4, atol=1e-5)


def test_where_it_is_missing_the_error_says_what_to_install(absent, draw):
    with pytest.raises(MissingDependencyError, match=r"pip install 'segttt\[mamba\]'"):
        mamba.selective_scan(cpu.Inputs(*single(draw(3))), [False, False], "none", None)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="mamba-ssm scans on a GPU only")
@pytest.mark.skipif(not backend.has_mamba(), reason="mamba-ssm with its CUDA scan is not installed")
def test_the_package_itself_gives_what_the_definition_gives(draw):
    inputs = [x.detach().float().cuda().requires_grad_() for x in draw(70)]
    z = torch.randn(2, 70, 5, device="cuda", requires_grad=True)
    how = {"backwards": [False, True], "merge": "sum", "z": z}
    with backend.scanning("mamba"):
        out = selective_scan(*inputs, **how)
    truth = reference.selective_scan(*inputs, **how)
    torch.testing.assert_close(out, truth, rtol=1e-4, atol=1e-4)
    ours = torch.autograd.grad(out.sin().sum(), [*inputs, z])
    truths = torch.autograd.grad(truth.sin().sum(), [*inputs, z])
    torch.testing.assert_close(ours, truths, rtol=1e-3, atol=1e-3)
