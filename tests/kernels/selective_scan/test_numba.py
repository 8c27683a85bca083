"""The selective scan in compiled loops: equal to its definition, whatever the sizes and threads."""

import numba
import pytest
import torch

from segttt.errors import UsageError
from segttt.kernels import backend
from segttt.kernels.selective_scan import cpu, numba_math, numba_scan
from segttt.kernels.selective_scan.op import selective_scan

F32 = torch.float32
SIZES = [
    # b, g, n, d, s: around chunks of 64 tokens and blocks of 64 channels
    (1, 1, 1, 1, 1),
    (2, 2, 17, 5, 3),
    (1, 2, 64, 64, 16),
    (2, 3, 65, 70, 4),
    (1, 2, 150, 130, 7),
]


def narrow(inputs: list[torch.Tensor], dtype: torch.dtype = F32) -> cpu.Inputs:
    return cpu.Inputs(*(x.detach().to(dtype) for x in inputs))


def wide(inputs: cpu.Inputs) -> cpu.Inputs:
    return cpu.Inputs(*(x.double() for x in inputs))


def assert_near(one: torch.Tensor, other: torch.Tensor, part: float) -> None:
    """Nowhere further apart than a part of the largest value."""
    distance = (one.double() - other).abs().max()
    assert distance <= part * other.abs().max(), f"{distance} of {other.abs().max()}"


@pytest.mark.parametrize(("b", "g", "n", "d", "s"), SIZES)
def test_forward_and_backward_are_those_of_the_definition(draw, b, g, n, d, s):
    inputs, backwards = narrow(draw(n, d, s, b, g)), [row % 2 == 1 for row in range(g)]
    truth, states = cpu.forward(wide(inputs), backwards, torch.float64)
    out, starts = numba_scan.forward(inputs, backwards, F32)
    assert_near(out, truth, 1e-6)
    torch.testing.assert_close(starts.double(), states, rtol=1e-5, atol=1e-5)
    d_out = torch.randn(out.shape, generator=torch.Generator().manual_seed(n))
    truths = cpu.backward(d_out.double(), states, wide(inputs), backwards)
    grads = numba_scan.backward(d_out, starts, inputs, backwards)
    for name, one, other in zip(cpu.Inputs._fields, grads, truths, strict=True):
        assert one.dtype == F32, name
        assert_near(one, other, 3e-6)


def test_a_long_memory_stays_exact(draw):
    """A = -1e-4: each state is a sum over thousands of tokens."""
    inputs = narrow(draw(3000, 3, 2, 1, 1))
    inputs = inputs._replace(A=torch.full_like(inputs.A, -1e-4))
    truth, _ = cpu.forward(wide(inputs), [False], torch.float64)
    out, _ = numba_scan.forward(inputs, [False], F32)
    assert_near(out, truth, 3e-6)


def test_the_fastest_decays_forget_all(draw):
    inputs = narrow(draw(20))
    inputs = inputs._replace(A=torch.full_like(inputs.A, -16.0), dt=torch.full_like(inputs.dt, 20))
    truth, _ = cpu.forward(wide(inputs), [False, True], torch.float64)
    out, starts = numba_scan.forward(inputs, [False, True], F32)
    assert_near(out, truth, 1e-6)
    grads = numba_scan.backward(out, starts, inputs, [False, True])
    assert all(x.isfinite().all() for x in grads)


@pytest.mark.parametrize("which", ["u", "dt", "A", "B"])
def test_what_is_not_a_number_shows(draw, which):
    inputs = narrow(draw(5, b=1, g=1))
    getattr(inputs, which).view(-1)[0] = float("nan")
    out, _ = numba_scan.forward(inputs, [False], F32)
    assert out.isnan().any()


def test_results_do_not_depend_on_the_number_of_threads(draw, monkeypatch):
    inputs = narrow(draw(70, 200, 4, 2, 1))
    results = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        out, starts = numba_scan.forward(inputs, [True], F32)
        results.append((out, starts, *numba_scan.backward(out, starts, inputs, [True])))
    for other in results[1:]:
        assert all(torch.equal(x, y) for x, y in zip(results[0], other, strict=True))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(draw, dtype):
    """As far from the truth of its inputs as one rounding of the result."""
    half = narrow(draw(70), dtype)
    truth, states = cpu.forward(wide(half), [False, True], torch.float64)
    out, starts = numba_scan.forward(half, [False, True], dtype)
    assert out.dtype == dtype
    assert starts.dtype == F32
    torch.testing.assert_close(out, truth.to(dtype), rtol=2 * torch.finfo(dtype).eps, atol=1e-5)
    truths = cpu.backward(truth.to(dtype).double(), states, wide(half), [False, True])
    grads = numba_scan.backward(truth.to(dtype), starts, half, [False, True])
    for one, other in zip(grads, truths, strict=True):
        assert one.dtype == dtype
        assert_near(one, other, torch.finfo(dtype).eps)


def test_arguments_need_not_be_contiguous(draw):
    inputs = narrow(draw(9))
    turned = cpu.Inputs(*(x.mT.contiguous().mT for x in inputs[:5]), *inputs[5:])
    assert not turned.u.is_contiguous()
    one, starts = numba_scan.forward(inputs, [False, True], F32)
    other, _ = numba_scan.forward(turned, [False, True], F32)
    assert torch.equal(one, other)
    pairs = zip(
        numba_scan.backward(one, starts, inputs, [False, True]),
        numba_scan.backward(one.mT.contiguous().mT, starts, turned, [False, True]),
        strict=True,
    )
    assert all(torch.equal(x, y) for x, y in pairs)


def test_the_operator_runs_on_it_and_agrees_with_the_reference(draw):
    inputs = [x.detach().float().requires_grad_() for x in draw(70)]
    d_out = torch.randn(2, 2, 70, 5, generator=torch.Generator().manual_seed(0))
    results = []
    for name in ("numba", "reference"):
        with backend.forced(name):
            out = selective_scan(*inputs, backwards=[True, False])
            results.append((out.detach(), *torch.autograd.grad(out, inputs, d_out)))
    for one, other in zip(*results, strict=True):
        assert not torch.equal(one, other)  # or it did not run on both
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_float64_is_refused(draw):
    with backend.forced("numba"), pytest.raises(UsageError, match="float32"):
        selective_scan(*draw(3))


@numba.njit
def apply(function, x, out):
    for i in range(len(x)):
        out[i] = function(x[i])


@pytest.mark.parametrize(
    ("name", "low", "high", "tolerance"),
    [("exp2", -125, 127, 2e-7), ("softplus", -10, 80, 8e-7), ("sigmoid", -10, 80, 8e-7)],
)
def test_the_elementary_functions_are_as_exact_as_they_say(name, low, high, tolerance):
    x = torch.cat([torch.linspace(low, high, 20_001), torch.linspace(-1, 1, 2_001)])
    truth = getattr(torch, name, torch.nn.functional.softplus)(x.double())
    out = torch.empty_like(x)
    apply(getattr(numba_math, name), x.numpy(), out.numpy())
    assert ((out.double() - truth) / truth).abs().max() <= tolerance
    edges = torch.tensor([float("nan"), float("-inf"), -1e30])
    apply(getattr(numba_math, name), edges.numpy(), out[:3].numpy())
    assert out[0].isnan()
    assert ((out[1:3] >= 0) & (out[1:3] < 1e-37)).all()


def test_a_batch_of_nothing_gives_nothing(draw):
    out, starts = numba_scan.forward(narrow(draw(3, b=0)), [False, True], F32)
    assert out.shape == (0, 2, 3, 5)
    assert starts.shape == (1, 0, 2, 3, 5)
