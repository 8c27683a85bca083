"""TTT-Linear in compiled loops: equal to its definition, whatever the sizes and threads."""

import pytest
import torch
from torch import Tensor

from segttt.errors import UsageError
from segttt.kernels import backend
from segttt.kernels.ttt_linear import numba_step, reference
from segttt.kernels.ttt_linear.op import ttt_linear, ttt_linear_losses

EPS = 1e-6
GUARD = 64
FORMS = [
    {},
    {"causal": False},
    {"backwards": [True, False]},
    {"causal": False, "backwards": [False, True]},
]
LENGTHS = (1, 17, 64, 150)
CHANNELS = (4, 8, 20, 26, 32, 40, 50, 64, 128)


def draw(n: int, t: int, d: int, b: int = 2, h: int = 2) -> list[Tensor]:
    g = torch.Generator().manual_seed(n * 1000 + t + d)
    normal = lambda *shape: torch.randn(*shape, generator=g)  # noqa: E731
    return [
        *(normal(b, h, n, d) for _ in range(3)),
        torch.rand(b, h, n, generator=g) / d,
        1 / torch.arange(1.0, t + 1) + 0.1 * normal(t).abs(),
        0.3 * normal(h, d, d),
        0.3 * normal(h, d),
        1 + 0.3 * normal(h, d),
        0.3 * normal(h, d),
    ]


def run(inputs: list[Tensor], d_out: Tensor, **how) -> dict[str, Tensor]:
    """Everything that there is: output, states, losses and gradients."""
    out, states, losses = numba_step.forward(*inputs, EPS, **how, keep=True, measure=True)
    grads = numba_step.backward(d_out, states, tuple(inputs[:5]), *inputs[7:], EPS, **how)
    return {"out": out, "states": states, "losses": losses, **grads._asdict()}


def truth(inputs: list[Tensor], d_out: Tensor, **how) -> dict[str, Tensor]:
    """The same by the definition in float64."""
    exact = [x.double() for x in inputs]
    out, states = reference.forward(*exact, EPS, **how)
    turned = {"backwards": how.get("backwards")}
    losses = reference.losses(states, tuple(exact[:5]), *exact[7:], EPS, **turned)
    grads = reference.backward(d_out.double(), states, tuple(exact[:5]), *exact[7:], EPS, **how)
    return {"out": out, "states": states, "losses": losses, **grads._asdict()}


def weights(shape: torch.Size) -> Tensor:
    return torch.linspace(-2, 2, shape.numel()).cos().view(shape)


def check(inputs: list[Tensor], **how) -> None:
    """Single precision sums keep five digits of the largest value, their gradients four."""
    d_out = weights(inputs[0].shape)
    found, wanted = run(inputs, d_out, **how), truth(inputs, d_out, **how)
    for name, one in found.items():
        assert one.dtype == torch.float32, name
        assert one.shape == wanted[name].shape, name
        error = (one.double() - wanted[name]).abs().max() / (wanted[name].abs().max() + 1e-30)
        assert error < (1e-5 if name in {"out", "states", "losses"} else 1e-4), (name, error)


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
@pytest.mark.parametrize("d", CHANNELS)
def test_forward_and_every_gradient_are_those_of_the_definition(guarded, n, d):
    for index, t in enumerate((16, 64)):
        check(draw(n, t, d), **FORMS[(n + d + index) % 4])


@pytest.mark.parametrize(
    ("n", "t", "d"), [(9, 1, 4), (23, 5, 7), (150, 100, 8), (200, 130, 20), (333, 1024, 17)]
)
@pytest.mark.parametrize("how", FORMS)
def test_a_mini_batch_may_have_any_size(guarded, n, t, d, how):
    """One token, a part of a block, several blocks, and all tokens that there are."""
    check(draw(n, t, d, b=1), **how)


@pytest.mark.parametrize("d", [1, 3])
def test_heads_of_few_channels(d):
    """Not two: LN of two channels is little but their order, and single precision may lose it."""
    check(draw(4, 2, d), backwards=[True, False])


def test_results_do_not_depend_on_the_number_of_threads(monkeypatch):
    inputs, results = draw(70, 16, 20, b=3), []
    for threads in (1, 2, 4):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        results.append(run(inputs, weights(inputs[0].shape), backwards=[True, False]))
    for other in results[1:]:
        assert all(torch.equal(results[0][name], one) for name, one in other.items())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    """As far from the truth of its inputs as one rounding of the output."""
    half = [x.to(dtype) for x in draw(70, 16, 20)]
    out, states, _ = numba_step.forward(*half, EPS, keep=True, measure=False)
    wanted, starts = reference.forward(*(x.double() for x in half), EPS)
    assert out.dtype == dtype
    assert states.dtype == torch.float32
    torch.testing.assert_close(out, wanted.to(dtype), rtol=2 * torch.finfo(dtype).eps, atol=1e-4)
    d_out = weights(out.shape).to(dtype)
    grads = numba_step.backward(d_out, states, tuple(half[:5]), *half[7:], EPS)
    exact = [x.double() for x in half]
    truths = reference.backward(d_out.double(), starts, tuple(exact[:5]), *exact[7:], EPS)
    for one, other in zip(grads, truths, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one.double(), other, rtol=0, atol=1e-4 * other.abs().max())


@pytest.mark.parametrize("which", [0, 1, 2, 3, 4, 5])
def test_what_is_not_a_number_shows(which):
    inputs = draw(20, 8, 5)
    inputs[which].view(-1)[0] = torch.nan
    assert numba_step.forward(*inputs, EPS)[0].isnan().any()


def test_the_operator_runs_it_and_agrees_with_the_reference():
    """With transposed inputs, and with and without a backward pass to come."""
    inputs = draw(70, 16, 16)
    inputs[:3] = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in inputs[:3]]
    assert backend.chosen(inputs[0], "ttt_linear") == "numba"
    results = []
    for name in ("reference", "numba"):
        leaves = [x.clone().requires_grad_() for x in inputs]
        with backend.forced(name):
            out, losses = ttt_linear_losses(*leaves, backwards=[True, False])
            out.sin().sum().backward()
            with torch.no_grad():
                assert torch.equal(ttt_linear(*leaves, backwards=[True, False]), out)
        results.append((out.detach(), losses, *(leaf.grad for leaf in leaves)))
    for one, other in zip(*results, strict=True):
        assert not torch.equal(one, other)  # or it did not run on both
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_states_formed_anew_for_the_backward_pass():
    """d + 1 > 8 t, the bound above which the operator keeps no states."""
    grads = []
    for name in ("reference", "numba"):
        leaves = [x.requires_grad_() for x in draw(5, 2, 17)]
        with backend.forced(name):
            grads.append(torch.autograd.grad(ttt_linear(*leaves).sin().sum(), leaves))
    torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-4)


def test_states_of_one_backend_serve_the_other():
    inputs = draw(70, 16, 20)
    d_out = weights(inputs[0].shape)
    _, states = reference.forward(*inputs, EPS)
    ours = numba_step.backward(d_out, states, tuple(inputs[:5]), *inputs[7:], EPS)
    theirs = reference.backward(d_out, states, tuple(inputs[:5]), *inputs[7:], EPS)
    torch.testing.assert_close(tuple(ours), tuple(theirs), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("h", "causal", "measure"), [(1, True, False), (2, False, True)])
def test_opcheck(h, causal, measure):
    inputs = [x.requires_grad_() for x in draw(21, 8, 4, b=1, h=h)]
    how = (EPS, causal, [True, False][:h], True, measure)
    with backend.forced("numba"):
        torch.library.opcheck(torch.ops.segttt.ttt_linear.default, (*inputs, *how))


def test_a_batch_of_nothing_gives_nothing():
    inputs = draw(5, 2, 4, b=0)
    out, states, losses = numba_step.forward(*inputs, EPS, measure=True)
    assert (out.shape, states.shape, losses.shape) == ((0, 2, 5, 4), (3, 0, 2, 5, 4), (0, 2, 3, 2))
    grads = numba_step.backward(out, states, tuple(inputs[:5]), *inputs[7:], EPS)
    assert torch.equal(grads.W0, torch.zeros(2, 4, 4))


def test_float64_is_refused():
    with backend.forced("numba"), pytest.raises(UsageError, match="float32"):
        ttt_linear(*(x.double() for x in draw(3, 2, 4)))
