"""The GPU kernels of the causal convolution, interpreted, against the reference in float64."""

from contextlib import nullcontext
from functools import partial

import pytest
import torch
from torch import Tensor

from segttt.kernels import backend
from segttt.kernels.causal_conv import reference
from segttt.kernels.causal_conv.op import MOST, causal_conv

pytest.importorskip("triton")

from segttt.kernels.causal_conv import triton_backward, triton_forward, triton_tune

CASES = [
    # n, d, reach, directions, sequences
    (1, 1, 4, [False], 1),
    (2, 5, 4, [True], 1),
    (17, 32, 1, [False, True], 2),
    (17, 33, 3, [True, False], 1),
    (64, 64, 2, [False], 1),
    (64, 5, 4, [False, True], 1),
    (150, 33, 4, [False, True], 2),
    (17, 640, 4, [True], 1),
    (150, 5, 3, [True, False, True], 3),
    (20, 5, 8, [True, True, False, True], 1),
]


def check(given: list[Tensor], backwards: list[bool], silu: bool, rounding: float = 0.0) -> None:
    """Single precision of short sums; `rounding` is that of the results' type."""
    exact, how = [x.double() for x in given], (backwards, silu)
    out, truth = triton_forward.forward(*given, *how), reference.forward(*exact, *how)
    d_out = torch.linspace(-2, 2, out.numel()).cos().view(out.shape).to(out.dtype)
    grads = triton_backward.backward(d_out, *given, *how)
    truths = reference.backward(d_out.double(), *exact, *how)
    for name, one, other in zip(
        ("out", *reference.Gradients._fields), (out, *grads), (truth, *truths), strict=True
    ):
        assert one.shape == other.shape, name
        assert one.is_contiguous(), name
        error = (one.double() - other).abs().max() / (other.abs().max() + 1e-30)
        assert error < 3e-6 + rounding, (name, error)


@pytest.mark.parametrize("silu", [False, True])
@pytest.mark.parametrize(("n", "d", "reach", "backwards", "k"), CASES)
def test_results_and_gradients(guarded, draw, n, d, reach, backwards, k, silu):
    given = draw(n, d, reach, len(backwards), k, b=1 if d > 64 else 2)
    check([x.float() for x in given], backwards, silu)


def test_walks_of_any_length(draw, monkeypatch):
    given = [x.float() for x in draw(35, 5, k=1, b=1)]
    for length in (32, 8):
        plan = triton_tune.Plan(walks=2, channels=8, length=length)
        monkeypatch.setattr(triton_backward, "backward_plan", lambda *_, plan=plan: plan)
        check(given, [False, True], silu=True)


def test_more_scans_of_the_same_tokens_than_go_together(draw):
    directions = [True, False, True, False, True]
    assert len(directions) > triton_tune.TOGETHER
    check([x.float() for x in draw(9, 3, g=5, k=1)], directions, silu=True)


def test_bfloat16_loses_nothing_but_the_results_last_bits(draw):
    check([x.bfloat16() for x in draw(20, k=1)], [False, True], silu=True, rounding=2**-7)


def test_arguments_of_any_strides(draw):
    x, weight, bias = (x.float() for x in draw(21, 6, g=1))
    wide = torch.full((2, 1, 21, 9), torch.nan)
    wide[..., 2:8] = x
    weight, bias = weight.mT.contiguous().mT.expand(2, -1, -1), bias.expand(2, -1)
    for strange in (x.expand(-1, 2, -1, -1), wide[..., 2:8], x.mT.contiguous().mT):
        check([strange, weight, bias], [True, False], silu=True)


def test_only_the_numbers_that_hear_of_a_nan_are_spoiled(draw):
    x, weight, bias = (x.float() for x in draw(30, 3))
    x[0, :, 10, 1] = torch.nan
    out = triton_forward.forward(x, weight, bias, [False, True], True)
    grads = triton_backward.backward(torch.ones_like(out), x, weight, bias, [False, True], True)
    assert out.isnan().sum() == 8
    assert grads.x.isnan().sum() == 2 * 7
    assert grads.weight.isnan().any(2).tolist() == [[False, True, False]] * 2


def test_two_runs_are_equal_to_the_bit(draw):
    given = [x.float() for x in draw(40, k=1)]
    d_out = torch.randn(2, 2, 40, 5)
    run = partial(triton_backward.backward, d_out, *given, [False, True], True)
    assert all(torch.equal(one, other) for one, other in zip(run(), run(), strict=True))


def test_the_operator_runs_them(draw):
    results = []
    for name in ("reference", "triton"):
        given = [x.float().requires_grad_() for x in draw(20, k=1)]
        with backend.forced(name):
            out = causal_conv(*given, backwards=[True, False], activation="silu")
            out.sin().sum().backward()
        results.append([out, *(one.grad for one in given)])
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-5)


def test_with_more_taps_than_the_kernels_have_plain_pytorch_runs(draw, monkeypatch):
    calls = []
    plain = triton_forward.forward
    monkeypatch.setattr(triton_forward, "forward", lambda *x: calls.append(len(x)) or plain(*x))
    for reach in (MOST, MOST + 1):
        given = [x.float() for x in draw(12, 3, reach)]
        said = (
            pytest.warns(UserWarning, match="up to 8 taps, not 9")
            if reach > MOST
            else nullcontext()
        )
        with backend.forced("triton"), said:
            out = causal_conv(*given)
        truth = reference.forward(*(x.double() for x in given), [False, False], False)
        torch.testing.assert_close(out.double(), truth, rtol=1e-5, atol=1e-5)
    assert len(calls) == 1


def test_walks_are_shorter_where_programs_are_few():
    plan = triton_tune.backward_plan
    assert plan(2, 1_720_320, 64, 1) == triton_tune.Plan(8, 64, 64)
    assert plan(2, 6720, 512, 1).length == 16
    assert plan(2, 210, 640, 1).length == 8
    assert plan(2, 1_720_320, 64, 2).walks == 4


def test_specimens_have_names_of_their_own_and_all_but_one_form_take_no_stack():
    found = triton_tune.specimens()
    assert len({one.name for one in found}) == len(found)
    assert all(one.stack_limit_bytes == 0 for one in found if "REACH=1" not in one.name)
    assert max(one.stack_limit_bytes for one in found) == 8
