"""The GPU kernels of TTT-MLP, interpreted on the CPU, against the definition in float64."""

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton")

from segttt.kernels import backend
from segttt.kernels.ttt_mlp import reference, triton_launch, triton_tune
from segttt.kernels.ttt_mlp.choice import supported
from segttt.kernels.ttt_mlp.op import ttt_mlp, ttt_mlp_losses

EPS = 1e-6
NAMES = ("q", "k", "v", "lr", "rho", "W1", "b1", "W2", "b2", "gamma", "beta")


def draw(
    n: int, d: int, t: int, wide: int | None = None, h: int = 2, dtype=torch.float32
) -> list[Tensor]:
    """One sample; an lr and a rho of the size that a network has."""
    g = torch.Generator().manual_seed(n * 1000 + d)
    normal = lambda *shape: torch.randn(*shape, generator=g)  # noqa: E731
    wide = wide or 4 * d
    values = (
        *(normal(1, h, n, d) for _ in range(3)),
        torch.rand(1, h, n, generator=g) / d,
        1 / torch.arange(1, t + 1.0) + 0.1 * normal(t).abs(),
        normal(h, d, wide) / d**0.5,
        0.4 * normal(h, wide),
        normal(h, wide, d) / wide**0.5,
        0.4 * normal(h, d),
        1 + 0.3 * normal(h, d),
        0.3 * normal(h, d),
    )
    return [value.to(dtype) for value in values]


def error(one: Tensor, other: Tensor) -> float:
    """The largest difference, relative to the largest value."""
    return float((one.double() - other.double()).abs().max() / (other.abs().max() + 1e-30))


def grouped(inputs: list[Tensor]) -> tuple[tuple[Tensor, ...], ...]:
    return tuple(inputs[:5]), tuple(inputs[5:9]), tuple(inputs[9:])


CASES = [
    (1, 4, 16, True, [False]),
    (17, 8, 16, True, [True, False]),
    (64, 20, 64, False, [False]),
    (70, 26, 64, True, [True]),
    (20, 32, 16, False, [True]),
    (60, 40, 64, True, [False]),
    (25, 50, 64, False, [True]),
    (20, 32, 10, True, [True]),
    (90, 6, 70, True, [True]),
    (75, 4, 75, False, [False]),
    (20, 70, 20, True, [False]),
]
"""n, d, t, causal and the directions. 70 tokens are two blocks of 64, or four of 32."""


@pytest.fixture
def wide_tiles(monkeypatch):
    """The interpreter takes its time by the operation, however large."""
    monkeypatch.setattr(triton_tune, "TILES", {})
    monkeypatch.setattr(triton_tune, "OTHERS", (64, 128, 8))


@pytest.mark.parametrize(("n", "d", "t", "causal", "backwards"), CASES)
def test_forward_and_every_gradient_equal_the_definition(request, n, d, t, causal, backwards):
    """Single precision: sums over at most 75 tokens and 280 features."""
    if d > 8:
        request.getfixturevalue("wide_tiles")
    inputs = draw(n, d, t, h=len(backwards))
    sequences, inner, norm = grouped(inputs)
    how = (EPS, causal, backwards)
    out, *states, losses = triton_launch.forward(
        sequences, inner, norm, *how, keep=True, measure=True
    )
    exact = [x.double() for x in inputs]
    sequences64, _, norm64 = grouped(exact)
    named = {"causal": causal, "backwards": backwards}
    out64, *states64 = reference.forward(*exact, EPS, **named)
    losses64 = reference.losses(
        (states64[0], states64[1]), sequences64, *norm64, EPS, backwards=backwards
    )
    assert error(out, out64) < 1e-5
    assert max(error(*pair) for pair in zip(states, states64, strict=True)) < 1e-5
    assert error(losses, losses64) < 1e-5

    d_out = torch.linspace(-2, 2, out.numel()).view_as(out)
    ours = triton_launch.backward(d_out, (states[0], states[1]), sequences, norm, *how)
    truth = reference.backward(
        d_out.double(), (states64[0], states64[1]), sequences64, *norm64, EPS, **named
    )
    for name, one, other in zip(NAMES, ours, truth, strict=True):
        assert one.shape == other.shape
        assert error(one, other) < 1e-4, name


@pytest.mark.usefixtures("wide_tiles")
def test_an_inner_width_that_is_no_power_of_two():
    inputs = draw(20, 6, 16, wide=50)
    out, *_ = triton_launch.forward(*grouped(inputs), EPS, True, None, keep=False, measure=False)
    exact, *_ = reference.forward(*(x.double() for x in inputs), EPS)
    assert error(out, exact) < 1e-5


@pytest.mark.usefixtures("wide_tiles")
def test_through_the_operator_with_its_gradients():
    """Of 8 channels, states are kept in mini-batches of 16 tokens and not in those of 4."""
    for n, t in ((18, 16), (6, 4)):
        inputs = [x.requires_grad_() for x in draw(n, 8, t, h=1)]
        truth = torch.autograd.grad(ttt_mlp(*inputs).sin().sum(), inputs)
        with backend.forced("triton"):
            out, losses = ttt_mlp_losses(*inputs)
            ours = torch.autograd.grad(out.sin().sum(), inputs)
        assert error(losses, ttt_mlp_losses(*inputs)[1]) < 1e-5
        assert max(error(*pair) for pair in zip(ours, truth, strict=True)) < 1e-4


@pytest.mark.usefixtures("wide_tiles")
@pytest.mark.parametrize("causal", [True, False])
def test_groups_of_mini_batches_change_nothing(monkeypatch, causal):
    inputs = draw(10, 4, 4, h=1)
    sequences, inner, norm = grouped(inputs)
    how = (EPS, causal, [True])

    def run() -> tuple[Tensor, ...]:
        out, *states, losses = triton_launch.forward(
            sequences, inner, norm, *how, keep=True, measure=True
        )
        pair = states[0], states[1]
        return out, losses, *triton_launch.backward(out, pair, sequences, norm, *how)

    whole = run()
    monkeypatch.setattr(triton_launch, "ROOM", 300)  # where causal one, else two of three
    out, *_, losses = triton_launch.forward(sequences, inner, norm, *how, keep=False, measure=True)
    torch.testing.assert_close((out, losses), whole[:2], rtol=0, atol=0)
    monkeypatch.setattr(triton_launch, "ROOM", 4000)  # likewise, backward
    torch.testing.assert_close(run(), whole, rtol=1e-5, atol=1e-5)


def test_two_runs_are_equal_in_every_bit():
    inputs = draw(10, 8, 8, h=1)
    sequences, inner, norm = grouped(inputs)
    runs = []
    for _ in range(2):
        out, *states, _ = triton_launch.forward(
            sequences, inner, norm, EPS, True, None, keep=True, measure=False
        )
        pair = states[0], states[1]
        runs.append((out, *triton_launch.backward(out, pair, sequences, norm, EPS, True, None)))
    assert all(torch.equal(*pair) for pair in zip(*runs, strict=True))


@pytest.mark.usefixtures("wide_tiles")
def test_half_precision_inputs_keep_the_state_in_float32():
    """What is left is the output's rounding; the interpreter cuts off, up to 2^-7 of it."""
    inputs = draw(20, 8, 16, dtype=torch.bfloat16)
    out, first, second, _ = triton_launch.forward(
        *grouped(inputs), EPS, True, None, keep=True, measure=False
    )
    exact, *_ = reference.forward(*(x.double() for x in inputs), EPS)
    assert (out.dtype, first.dtype, second.dtype) == (torch.bfloat16, *[torch.float32] * 2)
    torch.testing.assert_close(out.double(), exact, rtol=2**-7, atol=1e-5)


@pytest.mark.usefixtures("wide_tiles")
@pytest.mark.parametrize("causal", [True, False])
def test_nothing_is_read_before_it_is_written_nor_written_beyond_its_end(
    monkeypatch, guarded, causal
):
    """All fresh memory is NaN, and lies between guards."""
    inputs = draw(10, 5, 8, wide=18)
    sequences, inner, norm = grouped(inputs)
    monkeypatch.setattr(torch, "empty_like", lambda x: x.new_empty(x.shape))
    how = (EPS, causal, [True, False])
    out, *states, losses = triton_launch.forward(
        sequences, inner, norm, *how, keep=True, measure=True
    )
    grads = triton_launch.backward(out, (states[0], states[1]), sequences, norm, *how)
    assert all(one.isfinite().all() for one in (out, losses, *states, *grads))
    assert len(guarded) > 10


def test_what_no_kernel_serves_runs_as_plain_pytorch_and_says_so():
    assert supported(32, 64, torch.bfloat16) is None
    assert supported(128, 1024, torch.float32) is None
    for sizes, word in (((129, 16), "129"), ((32, 1025), "1025"), ((32, 64), "float32")):
        kind = torch.float64 if word == "float32" else torch.float32
        assert word in supported(*sizes, kind)
    inputs = draw(3, 130, 4)
    with backend.forced("triton"), pytest.warns(UserWarning, match="plain PyTorch: .* 130"):
        out = ttt_mlp(*inputs)
    with backend.reference_only():
        assert torch.equal(out, ttt_mlp(*inputs))


def test_specimens_are_of_all_kernels_and_name_every_argument():
    found = triton_tune.specimens()
    assert len({one.kernel.fn.__name__ for one in found}) == 9
    assert len({one.name for one in found}) == len(found)
    for one in found:
        assert set(one.constants) == {k for k, v in one.signature.items() if v == "constexpr"}
