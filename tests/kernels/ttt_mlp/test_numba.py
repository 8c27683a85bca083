"""TTT-MLP in compiled loops: equal to its definition, whatever the sizes and threads."""

import numba
import pytest
import torch
from torch import Tensor

from segttt.kernels import backend
from segttt.kernels.ttt_mlp import gelu, numba_gelu, numba_step, reference
from segttt.kernels.ttt_mlp.op import ttt_mlp, ttt_mlp_losses

EPS = 1e-6
GUARD = 64
FORMS = [(True, None), (False, None), (True, [True, False]), (False, [False, True])]
LENGTHS = (1, 17, 64, 150)
SIZES = ((4, 16), (8, 5), (20, 80), (26, 104), (32, 128), (40, 39), (50, 33))
"""Channels and inner width."""


def draw(n: int, t: int, d: int, wide: int = 0, b: int = 2, h: int = 2) -> list[Tensor]:
    g = torch.Generator().manual_seed(n * 1000 + t + d)
    normal = lambda *shape: torch.randn(*shape, generator=g)  # noqa: E731
    wide = wide or 4 * d
    return [
        *(normal(b, h, n, d) for _ in range(3)),
        torch.rand(b, h, n, generator=g) / d,
        1 / torch.arange(1.0, t + 1) + 0.1 * normal(t).abs(),
        0.3 * normal(h, d, wide),
        0.3 * normal(h, wide),
        0.3 * normal(h, wide, d),
        0.3 * normal(h, d),
        1 + 0.3 * normal(h, d),
        0.3 * normal(h, d),
    ]


def run(inputs: list[Tensor], d_out: Tensor, causal=True, backwards=None) -> dict[str, Tensor]:
    """Everything that there is: output, states, losses and gradients."""
    sequences, inner, norm = tuple(inputs[:5]), tuple(inputs[5:9]), tuple(inputs[9:])
    how = (EPS, causal, backwards)
    out, *states, losses = numba_step.forward(sequences, inner, norm, *how, keep=True, measure=True)
    grads = numba_step.backward(d_out, tuple(states), sequences, norm, *how)
    found = {"out": out, "first": states[0], "second": states[1], "losses": losses}
    return found | grads._asdict()


def truth(inputs: list[Tensor], d_out: Tensor, causal=True, backwards=None) -> dict[str, Tensor]:
    """The same by the definition in float64."""
    exact = [x.double() for x in inputs]
    how = {"causal": causal, "backwards": backwards}
    out, *states = reference.forward(*exact, EPS, **how)
    given = (tuple(states), tuple(exact[:5]), *exact[9:], EPS)
    found = {"out": out, "first": states[0], "second": states[1]}
    found["losses"] = reference.losses(*given, backwards=backwards)
    return found | reference.backward(d_out.double(), *given, **how)._asdict()


def weights(shape: torch.Size) -> Tensor:
    return torch.linspace(-2, 2, shape.numel()).cos().view(shape)


def check(inputs: list[Tensor], causal=True, backwards=None) -> None:
    """Single precision sums keep nearly five digits of the largest value, their gradients four."""
    d_out = weights(inputs[0].shape)
    found, wanted = run(inputs, d_out, causal, backwards), truth(inputs, d_out, causal, backwards)
    for name, one in found.items():
        assert one.dtype == torch.float32, name
        assert one.shape == wanted[name].shape, name
        error = (one.double() - wanted[name]).abs().max() / (wanted[name].abs().max() + 1e-30)
        exact = name in {"out", "first", "second", "losses"}
        assert error < (1.5e-5 if exact else 1e-4), (name, error)


@pytest.fixture
def guarded(monkeypatch):
    """Fresh memory is NaN, and lies between NaN that nobody may write to."""
    taken = []
    plain = torch.empty

    def empty(*shape, **options) -> Tensor:
        size = plain(*shape, **options).shape
        whole = plain(size.numel() + 2 * GUARD, **options).fill_(torch.nan)
        taken.append(whole)
        return whole[GUARD : GUARD + size.numel()].view(size)

    monkeypatch.setattr(torch, "empty", empty)
    yield
    assert taken
    for whole in taken:
        assert whole[:GUARD].isnan().all()
        assert whole[-GUARD:].isnan().all()
        assert not whole[GUARD:-GUARD].isnan().any()


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize(("d", "wide"), SIZES)
def test_forward_and_every_gradient_are_those_of_the_definition(guarded, n, d, wide):
    for index, t in enumerate((16, 64)):
        check(draw(n, t, d, wide), *FORMS[(n + d + index) % 4])


@pytest.mark.parametrize(
    ("n", "t", "d"), [(9, 1, 4), (23, 5, 7), (150, 100, 8), (200, 130, 12), (333, 1024, 17)]
)
@pytest.mark.parametrize("form", FORMS)
def test_a_mini_batch_may_have_any_size(guarded, n, t, d, form):
    """One token, a part of a block, several blocks, and all tokens that there are."""
    check(draw(n, t, d, b=1), *form)


def test_results_do_not_depend_on_the_number_of_threads(monkeypatch):
    inputs, results = draw(70, 16, 20, b=3), []
    for threads in (1, 2, 4):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        results.append(run(inputs, weights(inputs[0].shape), True, [True, False]))
    for other in results[1:]:
        assert all(torch.equal(results[0][name], one) for name, one in other.items())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    """As far from the truth of its inputs as one rounding of the output."""
    half = [x.to(dtype) for x in draw(40, 16, 12)]
    d_out = weights(half[0].shape).to(dtype)
    found, wanted = run(half, d_out), truth(half, d_out)
    out, exact = found.pop("out"), wanted.pop("out")
    assert out.dtype == dtype
    torch.testing.assert_close(out, exact.to(dtype), rtol=2 * torch.finfo(dtype).eps, atol=1e-4)
    for name, one in found.items():
        assert one.dtype == torch.float32, name
        error = (one.double() - wanted[name]).abs().max() / wanted[name].abs().max()
        assert error < 1e-4, name


@pytest.mark.parametrize("which", [0, 1, 2, 3, 4, 5, 7])
def test_what_is_not_a_number_shows(which):
    inputs = draw(20, 8, 5)
    inputs[which].view(-1)[0] = torch.nan
    sequences, inner, norm = tuple(inputs[:5]), tuple(inputs[5:9]), tuple(inputs[9:])
    out, *_ = numba_step.forward(sequences, inner, norm, EPS, True, None, keep=False, measure=False)
    assert out.isnan().any()


def test_the_operator_runs_it_and_agrees_with_the_reference():
    """With transposed inputs, and with and without a backward pass to come."""
    inputs = draw(70, 16, 8)
    inputs[:3] = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in inputs[:3]]
    assert backend.chosen(inputs[0], "ttt_mlp") == "numba"
    results = []
    for name in ("reference", "numba"):
        leaves = [x.clone().requires_grad_() for x in inputs]
        with backend.forced(name):
            out, losses = ttt_mlp_losses(*leaves, backwards=[True, False])
            out.sin().sum().backward()
            with torch.no_grad():
                assert torch.equal(ttt_mlp(*leaves, backwards=[True, False]), out)
        results.append((out.detach(), losses, *(leaf.grad for leaf in leaves)))
    for one, other in zip(*results, strict=True):
        assert not torch.equal(one, other)  # or it did not run on both
        torch.testing.assert_close(one, other, rtol=1e-4, atol=2e-4)


def test_states_formed_anew_for_the_backward_pass():
    """Mini-batches so small that the operator keeps no states."""
    grads = []
    for name in ("reference", "numba"):
        leaves = [x.requires_grad_() for x in draw(5, 2, 7)]
        with backend.forced(name):
            grads.append(torch.autograd.grad(ttt_mlp(*leaves).sin().sum(), leaves))
    torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("h", "causal", "measure"), [(1, True, False), (2, False, True)])
def test_opcheck(h, causal, measure):
    inputs = [x.requires_grad_() for x in draw(21, 8, 4, b=1, h=h)]
    how = (EPS, causal, [True, False][:h], True, measure)
    with backend.forced("numba"):
        torch.library.opcheck(torch.ops.segttt.ttt_mlp.default, (*inputs, *how))


@numba.njit
def derivatives(z, value, steepness, bend) -> None:
    numba_gelu.gelu(z, value, steepness, len(z), 64)
    numba_gelu.curvature(bend, len(z), 64)


def test_gelu_and_its_derivatives_are_those_of_the_definition():
    z = torch.cat([torch.linspace(-12, 12, 3200), torch.linspace(-0.1, 0.1, 640)]).view(-1, 64)
    z[0, :8] = torch.tensor([1e3, -1e3, 1e9, -1e9, 1e18, -1e18, 0, torch.nan])
    value, steepness, bend = torch.empty_like(z), torch.empty_like(z), z.clone()
    derivatives(*(x.numpy() for x in (z, value, steepness, bend)))
    wanted = (*gelu.gelu(z.double()), gelu.curvature(z.double()))
    for one, other in zip((value, steepness, bend), wanted, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-6, atol=1e-6, equal_nan=True)
