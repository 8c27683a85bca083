"""The GPU kernels of the TTT inputs against the reference in float64, run by the interpreter."""

import pytest
import torch
from torch import Tensor

from segttt.kernels import backend
from segttt.kernels.ttt_inputs import reference
from segttt.kernels.ttt_inputs.op import ttt_inputs

pytest.importorskip("triton")

from segttt.kernels.ttt_inputs import triton_heads, triton_tune

SCALE = 0.7
CASES = [
    (1, 4, 1, [False]),
    (33, 2, 2, [True]),
    (17, 8, 3, [True]),
    (64, 20, 2, [False, True]),
    (150, 26, 1, [True, False]),
    (17, 32, 2, [False]),
    (150, 40, 2, [True]),
    (5, 130, 1, [False]),
]
"""n, d, h and the directions."""


def draw(n: int, d: int, h: int, g: int, t: int = 64, b: int = 2) -> list[Tensor]:
    """Parts that all scans have in common, and weights that they have, too."""
    rng = torch.Generator().manual_seed(1000 * n + d)
    parts = torch.randn(b, 1, n, 3 * h * d + h, generator=rng).expand(-1, g, -1, -1)
    bias = torch.randn(1, h, generator=rng).expand(g, h)
    position = torch.randn(t, generator=rng)
    return [*parts.split([h * d, h * d, h * d, h], -1), bias, position]


def check(given: list[Tensor], backwards: list[bool], rounding: float = 0.0) -> None:
    """Single precision of a handful of operations; `rounding` is that of the results' type."""
    exact = [x.double() for x in given]
    ours = triton_heads.forward(*given, SCALE, backwards)
    truth = reference.forward(*exact, SCALE, backwards)
    asked = [torch.linspace(-2, 2, x.numel()).cos().view(x.shape).to(x.dtype) for x in ours]
    wide = reference.Inputs(*(x.double() for x in asked))
    grads = triton_heads.backward(reference.Inputs(*asked), *ours[3:], SCALE, backwards)
    truths = reference.backward(wide, *truth[3:], SCALE, backwards)
    names = (*reference.Inputs._fields, *(f"d_{name}" for name in reference.Gradients._fields))
    for name, one, other in zip(names, (*ours, *grads), (*truth, *truths), strict=True):
        assert one.shape == other.shape, name
        assert one.is_contiguous(), name
        error = (one.double() - other).abs().max() / (other.abs().max() + 1e-30)
        assert error < 3e-6 + rounding, (name, error)


@pytest.mark.parametrize(("n", "d", "h", "backwards"), CASES)
def test_results_and_gradients(guarded, n, d, h, backwards):
    check(draw(n, d, h, len(backwards)), backwards)


def test_more_positions_than_are_done_at_a_time(guarded):
    t = triton_tune.POSITIONS + 3
    check(draw(5, 4, 1, 1, t=t), [True])


def test_bfloat16_loses_nothing_but_the_results_last_bits():
    check([x.bfloat16() for x in draw(20, 20, 2, 2)], [False, True], rounding=2**-7)


@pytest.mark.parametrize("scale", [1e-39, 1e-300])
def test_scales_below_float32_have_gradients_of_zero(guarded, scale: float):
    lr, rho = torch.zeros(2, 2, 5), torch.ones(64)
    asked = reference.Inputs(*torch.ones(3, 2, 2, 5, 4), lr + 1, rho)
    grads = triton_heads.backward(asked, lr, rho, scale, [False])
    assert not grads.rate.any()
    assert not grads.bias.any()


def test_each_scan_s_own_tokens_and_strides_of_any_kind():
    """q as a convolution gives it, with tokens side by side; rates as a diagonal of all orders'."""
    q, k, v, _, _, position = draw(21, 6, 2, 2)
    q, k = q.mT.contiguous().mT, k.transpose(1, 2).contiguous().transpose(1, 2)
    rate = torch.randn(2, 2, 21, 2, 2).diagonal(0, 1, 3).movedim(3, 1)
    bias = torch.randn(2, 2).mT
    check([q, k, v, rate, bias, position], [True, False])


def test_the_operator_runs_them():
    results = []
    for name in ("reference", "triton"):
        leaves = [x.clone().requires_grad_() for x in draw(20, 8, 2, 2)]
        with backend.forced(name):
            out = ttt_inputs(*leaves, SCALE, [True, False])
            sum(x.sin().sum() for x in out).backward()
        results.append([*out, *(leaf.grad for leaf in leaves)])
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-5)


def test_specimens_have_names_of_their_own_and_take_no_stack():
    found = triton_tune.specimens()
    assert len({one.name for one in found}) == len(found)
    assert {one.stack_limit_bytes for one in found} == {0}
    assert "join_kernel bf16 d=20" in [one.name for one in found]
