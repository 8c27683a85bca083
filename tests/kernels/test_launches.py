"""What every operator has in common: compiled graphs, autocast, launches, CUDA graphs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from segttt.kernels.backend import reference_only
from segttt.kernels.ttt_linear import triton_tune as linear_tune
from segttt.kernels.ttt_mlp import triton_tune as mlp_tune
from tests.kernels.launches import LAUNCHES, Launching, cases

interpreter = pytest.importorskip("triton.runtime.interpreter")

ROOT = Path(__file__).resolve().parents[2]
OPERATORS = ("ttt_inputs", "ttt_linear", "ttt_mlp", "causal_conv", "selective_scan")


class Kept(TorchDispatchMode):
    """The arguments of the last call of each operator of this package."""

    def __init__(self):
        super().__init__()
        self.arguments = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace == "segttt":
            self.arguments[func] = args
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", OPERATORS)
def test_the_backward_operator_does_what_it_is_registered_for(name):
    call, given, how = cases("cpu", 21)[name]
    backward = getattr(torch.ops.segttt, f"{name}_backward").default
    with reference_only():  # compiled loops would be compiled first
        with Kept() as kept:
            call(*given, **how).sum().backward()
        asked = [x.detach() if isinstance(x, torch.Tensor) else x for x in kept.arguments[backward]]
        torch.library.opcheck(backward, tuple(asked))  # a gradient of gradients is not offered


@pytest.mark.parametrize("name", OPERATORS)
def test_one_graph_under_autocast_gives_what_the_call_gives(name):
    call, given, how = cases("cpu", 21)[name]
    compiled = torch.compile(lambda *x: call(*x, **how), fullgraph=True, backend="aot_eager")
    with reference_only():
        truth = call(*given, **how)
        truths = torch.autograd.grad(truth.square().sum(), given)
        with torch.autocast("cpu", torch.bfloat16):
            out = compiled(*given)
        ours = torch.autograd.grad(out.square().sum(), given)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, truth, rtol=0, atol=0)
    torch.testing.assert_close(ours, truths, rtol=0, atol=0)


@pytest.mark.parametrize("name", OPERATORS)
def test_launching_asks_for_no_number_of_a_tensor(monkeypatch, name):
    """A CUDA graph can be recorded only where nothing waits for the GPU. Without data, what would
    wait raises. A tensor of Python's numbers waits, too; only the first call may make some, as it
    keeps them."""
    kernels = []
    monkeypatch.setattr(
        interpreter.GridExecutor, "__call__", lambda self, *_, **__: kernels.append(self.fn)
    )
    call, given, how = cases("meta")[name]
    with Launching() as launching:
        call(*given, **how).sum().backward()
    assert list(launching.calls) == [f"segttt.{name}.default", f"segttt.{name}_backward.default"]
    once = len(kernels)
    monkeypatch.setattr(torch, "tensor", None)
    monkeypatch.setattr(torch, "as_tensor", None)
    for operator, arguments in launching.calls.items():
        LAUNCHES[operator](*arguments)
    assert len(kernels) == 2 * once > 2


@pytest.mark.parametrize("name", ["tf32", "ieee"])
def test_float32_is_rounded_as_pytorch_is_told_to(name):
    """By its newer setting, besides which it raises where the older one is read."""
    matmul = torch.backends.cuda.matmul
    with FakeTensorMode():
        q = torch.empty(1, 1, 4, 8, device="cuda")
    before, matmul.fp32_precision = matmul.fp32_precision, name
    try:
        rounded = linear_tune.arithmetic(q)[1], mlp_tune.precision(q)
    finally:
        matmul.fp32_precision = before
    assert rounded == {"tf32": ("tf32", "tf32"), "ieee": ("tf32x3", "ieee")}[name]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="a CUDA graph needs a GPU")
def test_cuda_graphs_replay_every_operator_to_the_bit(monkeypatch):
    """In a process of its own, whose kernels are not interpreted."""
    monkeypatch.delenv("TRITON_INTERPRET")
    command = [sys.executable, "-m", "tests.kernels.graphs"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    both = [f"{name}{how}" for name in OPERATORS for how in (", compiled", "")]
    assert json.loads(done.stdout.splitlines()[-1]) == dict.fromkeys(both, 0.0)
