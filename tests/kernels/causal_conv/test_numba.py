"""The causal convolution in compiled loops against the reference in float64."""

import numba
import pytest
import torch

from segttt.kernels import backend
from segttt.kernels.causal_conv import numba_conv, numba_loops, reference
from segttt.kernels.causal_conv.op import causal_conv

CASES = [
    # n, d, reach, directions, sequences: around runs of `RUN` tokens
    (1, 1, 4, [False], 1),
    (2, 5, 4, [True], 1),
    (17, 33, 1, [False, True], 2),
    (255, 16, 2, [True, False], 1),
    (256, 5, 8, [False, True], 1),
    (600, 64, 4, [True, False, True], 3),
]


def narrow(given: list[torch.Tensor], dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    return [x.to(dtype) for x in given]


@pytest.mark.parametrize("silu", [False, True])
@pytest.mark.parametrize(("n", "d", "reach", "backwards", "k"), CASES)
def test_results_and_gradients(draw, n, d, reach, backwards, k, silu):
    exact = draw(n, d, reach, len(backwards), k)
    given, how = narrow(exact), (backwards, silu)
    exact = [x.double() for x in given]
    out, truth = numba_conv.forward(*given, *how), reference.forward(*exact, *how)
    d_out = torch.linspace(-2, 2, out.numel()).cos().view(out.shape)
    grads = numba_conv.backward(d_out, *given, *how)
    truths = reference.backward(d_out.double(), *exact, *how)
    for one, other in zip((out, *grads), (truth, *truths), strict=True):
        assert one.dtype == torch.float32
        assert one.is_contiguous()
        assert (one - other).abs().max() <= 2e-6 * other.abs().max()


def test_tokens_of_any_strides_are_only_read(draw):
    x, weight, bias = narrow(draw(30, k=1))
    how = ([False, True], True)
    truth = numba_conv.forward(x, weight, bias, *how)
    wide = torch.full((2, 1, 30, 12), torch.nan)
    wide[..., 3:8] = x
    for strange in (wide[..., 3:8], x.expand(-1, 2, -1, -1), x.mT.contiguous().mT):
        assert torch.equal(numba_conv.forward(strange, weight, bias, *how), truth)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_float32_of_the_rounded_inputs(draw, dtype):
    half = narrow(draw(20), dtype)
    single, how = narrow(half), ([False, True], True)
    out, truth = numba_conv.forward(*half, *how), numba_conv.forward(*single, *how)
    assert torch.equal(out, truth.to(dtype))
    d_out = torch.randn(out.shape).to(dtype)
    grads = numba_conv.backward(d_out, *half, *how)
    truths = numba_conv.backward(d_out.float(), *single, *how)
    assert all(torch.equal(one, other.to(dtype)) for one, other in zip(grads, truths, strict=True))


def test_what_is_not_a_number_shows(draw):
    given = narrow(draw(9))
    given[0][0, 0, 3, 1] = torch.nan
    out = numba_conv.forward(*given, [False, True], True)
    assert out.isnan().sum() == 4
    assert out[0, 0, 3:7, 1].isnan().all()


def test_large_numbers_are_passed_on_or_closed(draw):
    given = narrow(draw(3, reach=1))
    given[0][:] = torch.tensor([-1e30, -200.0, 0.0, 200.0, 1e30])
    given[1][:], given[2][:] = 1, 0
    out = numba_conv.forward(*given, [False, False], True)
    truth = torch.tensor([0.0, 0, 0, 200, 1e30]).expand_as(out)
    torch.testing.assert_close(out, truth, rtol=1e-6, atol=1e-6)


def test_results_do_not_depend_on_the_number_of_threads(draw, monkeypatch):
    given, how = narrow(draw(700, k=1)), ([False, True], True)
    results = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        out = numba_conv.forward(*given, *how)
        results.append((out, *numba_conv.backward(out, *given, *how)))
    for one in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(one, results[0], strict=True))


def test_the_operator_runs_them(draw, monkeypatch):
    calls = []
    for name in ("forward", "backward"):
        plain = getattr(numba_loops, name)
        monkeypatch.setattr(numba_loops, name, lambda *x, n=name, f=plain: calls.append(n) or f(*x))
    given = [x.requires_grad_() for x in narrow(draw(9))]
    with backend.forced("numba"):
        causal_conv(*given, activation="silu").sum().backward()
    assert calls == ["forward", "backward"]


def test_the_loops_are_kept_on_disk():
    assert isinstance(numba_loops.forward, numba.core.dispatcher.Dispatcher)
    assert all(one.stats.cache_path for one in (numba_loops.forward, numba_loops.backward))
