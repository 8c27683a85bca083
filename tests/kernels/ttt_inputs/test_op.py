"""The TTT inputs against their formulas written out, in float64."""

from math import cos, sin

import pytest
import torch
from torch import Tensor

from segttt.errors import UsageError
from segttt.kernels.ttt_inputs.op import ttt_inputs

NAMES = ("q", "k", "v", "rate", "bias", "position")
SCALE = 0.7


def definition(q, k, v, rate, bias, position, scale, backwards) -> tuple[Tensor, ...]:
    """Token by token: a scan's tokens in the order of reading, channels turned pair by pair."""
    (b, g, n, h), t = rate.shape, len(position)
    d = q.shape[3] // h
    outs = [torch.empty(b, g, h, n, d, dtype=q.dtype) for _ in range(3)]
    lr = torch.empty(b, g, h, n, dtype=rate.dtype)
    for scan, back in enumerate(backwards):
        for step in range(n):
            token = n - 1 - step if back else step
            for x, out in zip((q, k, v), outs, strict=True):
                out[:, scan, :, token] = x[:, scan, token].view(b, h, d)
            for pair in range(0, d, 2):
                angle = (step % t) * 10_000.0 ** (-pair / d)
                for out in outs[:2]:
                    even, odd = out[:, scan, :, token, pair : pair + 2].clone().unbind(-1)
                    out[:, scan, :, token, pair] = even * cos(angle) - odd * sin(angle)
                    out[:, scan, :, token, pair + 1] = even * sin(angle) + odd * cos(angle)
            lr[:, scan, :, token] = scale / (1 + (-rate[:, scan, token] - bias[scan]).exp())
    rho = (1 / torch.arange(1, t + 1, dtype=torch.float64) + position).clamp(min=0)
    return *(x.flatten(1, 2) for x in (*outs, lr)), rho


def draw(n: int, d: int, g: int = 2, h: int = 3, t: int = 8, dtype=torch.float64) -> list[Tensor]:
    """Parts of one tensor that all scans have in common, as a layer gives them."""
    rng = torch.Generator().manual_seed(1000 * n + d)
    normal = lambda *shape: torch.randn(*shape, generator=rng, dtype=torch.float64)  # noqa: E731
    parts = normal(2, 1, n, 3 * h * d + h).expand(-1, g, -1, -1)
    values = [*parts.split([h * d, h * d, h * d, h], -1), normal(g, h), normal(t)]
    return [value.to(dtype) for value in values]


def leaves(given: list[Tensor]) -> list[Tensor]:
    return [x.clone(memory_format=torch.preserve_format).requires_grad_() for x in given]


FORMS = [[False], [True], [False, True]]


@pytest.mark.parametrize(("n", "d"), [(1, 2), (8, 4), (19, 6)])
@pytest.mark.parametrize("backwards", FORMS)
def test_results_and_gradients_are_those_of_the_formulas(n: int, d: int, backwards):
    given = leaves(draw(n, d, len(backwards)))
    ours, truth = (f(*given, SCALE, backwards) for f in (ttt_inputs, definition))
    assert (truth[4] == 0).any()
    torch.testing.assert_close(ours, truth, rtol=1e-12, atol=1e-12)
    asked = [torch.linspace(-2, 2, x.numel(), dtype=x.dtype).cos().view(x.shape) for x in ours]
    grads, truths = (torch.autograd.grad(x, given, asked) for x in (ours, truth))
    for name, one, other in zip(NAMES, grads, truths, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12, msg=lambda m, n=name: n + m)


def test_gradcheck():
    given = leaves(draw(3, 2, h=2, t=2))
    given[5].data.abs_()  # away from the bend of the position scale
    assert torch.autograd.gradcheck(lambda *x: ttt_inputs(*x, SCALE, [False, True]), given)


def test_arguments_of_any_strides_are_only_read():
    given = draw(9, 4)
    strange = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in given[:4]] + given[4:]
    strange[0] = given[0].mT.contiguous().mT
    copies = [x.clone() for x in strange]
    results = [ttt_inputs(*x, SCALE, [True, False]) for x in (given, strange)]
    torch.testing.assert_close(*results, rtol=1e-15, atol=1e-15)  # exp in vectors or one by one
    assert all(torch.equal(one, other) for one, other in zip(strange, copies, strict=True))
    assert all(one.is_contiguous() for one in results[0])


def test_a_single_head_is_no_view_of_the_arguments():
    """Nothing has to move then, and still nobody may write to the arguments."""
    q, k, v, *rest = draw(9, 4, g=1, h=1)
    q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
    before = [x.clone() for x in (q, k, v)]
    given = leaves([q, k, v, *rest])
    out = ttt_inputs(*given, SCALE)
    torch.autograd.grad(out, given, [torch.ones_like(x) for x in out])
    assert all(torch.equal(one, other) for one, other in zip(given, before, strict=False))
    assert not {x.data_ptr() for x in out} & {x.data_ptr() for x in given}


def test_without_a_scale_rates_are_zero_and_so_is_their_gradient():
    given = leaves(draw(9, 4, dtype=torch.float32))
    lr = ttt_inputs(*given, 0.0)[3]
    grads = torch.autograd.grad(lr.sum(), given[3:5])
    assert not torch.cat([x.flatten() for x in (lr, *grads)]).any()


@pytest.mark.parametrize("scale", [1e-38, 1e-39, 1e-46, 1e-300, 5e-324])
def test_scales_at_the_end_of_float32_have_finite_gradients(scale: float):
    given = leaves(draw(9, 4, dtype=torch.float32))
    lr = ttt_inputs(*given, scale)[3]
    assert lr.max() <= scale * (1 + 1e-6)
    for grad in torch.autograd.grad(lr.sum(), given[3:5]):
        assert grad.abs().max() <= 12 * scale  # a bias serves two samples of nine tokens


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_rounds_results_only(dtype):
    given = leaves(draw(70, 20, t=64, dtype=dtype))
    wide = leaves([x.double() for x in given])
    ours, truth = (ttt_inputs(*x, SCALE, [False, True]) for x in (given, wide))
    assert [x.dtype for x in ours] == [dtype] * 3 + [torch.float32] * 2
    asked = [torch.ones_like(x) for x in ours]
    grads = torch.autograd.grad(ours, given, asked)
    truths = torch.autograd.grad(truth, wide, [x.double() for x in asked])
    assert {x.dtype for x in grads} == {dtype}
    last = torch.finfo(dtype).eps
    for one, other in zip((*ours, *grads), (*truth, *truths), strict=True):
        rounding = last if one.dtype == dtype else 1e-6
        assert (one - other).abs().max() <= rounding * other.abs().max()


@pytest.mark.parametrize("backwards", FORMS[1:])
def test_opcheck(backwards):
    given = leaves(draw(9, 4, len(backwards), dtype=torch.float32))
    torch.library.opcheck(torch.ops.segttt.ttt_inputs.default, (*given, SCALE, backwards))


def test_wrong_directions_and_odd_heads_are_refused():
    given = draw(3, 2)
    with pytest.raises(UsageError, match="1 entries for 2 scans"):
        ttt_inputs(*given, SCALE, [True])
    narrow = [x[..., :-3] for x in given[:3]]
    with pytest.raises(UsageError, match="3 channels are not 3 heads of an even width"):
        ttt_inputs(*narrow, *given[3:], SCALE)
