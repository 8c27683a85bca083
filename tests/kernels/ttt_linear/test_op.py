"""TTT-Linear against its definition, token by token, in float64."""

import pytest
import torch
from torch import Tensor

from segttt.kernels import chunks
from segttt.kernels.ttt_linear import reference
from segttt.kernels.ttt_linear.op import ttt_linear, ttt_linear_losses

EPS = 1e-6
NAMES = ("q", "k", "v", "lr", "rho", "W0", "b0", "gamma", "beta")


def layer_norm(z: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    centred = z - z.mean(-1, keepdim=True)
    return gamma * centred / (centred.square().mean(-1, keepdim=True) + EPS).sqrt() + beta


def primal(
    q, k, v, lr, rho, W0, b0, gamma, beta, *, causal: bool = True, backwards=None
) -> tuple[Tensor, Tensor]:
    """One token after another; inner gradients by autograd, taken at the mini-batch's start.

    Returns the outputs, and the inner losses before and after each mini-batch.
    """
    b, _, n, _ = q.shape
    order = torch.arange(n).expand(len(W0), n)
    if backwards is not None:
        order = torch.where(torch.tensor(backwards)[:, None], n - 1 - order, order)
    heads = torch.arange(len(W0))[:, None]
    q, k, v, lr = (x[:, heads, order] for x in (q, k, v, lr))
    W, bias = W0.repeat(b, 1, 1, 1), b0.repeat(b, 1, 1)
    outs, losses = [], []
    for start in range(0, n, len(rho)):
        W, bias = W.clone().requires_grad_(), bias.clone().requires_grad_()
        d_W, d_bias = torch.zeros_like(W), torch.zeros_like(bias)
        tokens = range(start, min(start + len(rho), n))
        seen = []
        for i in tokens:
            z = torch.einsum("bhd,bhde->bhe", k[:, :, i], W) + bias
            error = layer_norm(z, gamma, beta) - (v[:, :, i] - k[:, :, i])
            grads = torch.autograd.grad(0.5 * error.square().sum(), (W, bias), create_graph=True)
            d_W = d_W + lr[:, :, i, None, None] * grads[0]
            d_bias = d_bias + lr[:, :, i, None] * grads[1]
            seen.append((W - rho[i - start] * d_W, bias - rho[i - start] * d_bias))
        before = _mean_loss(tokens, k, v, W, bias, gamma, beta)
        W, bias = seen[-1]
        losses.append(torch.stack([before, _mean_loss(tokens, k, v, W, bias, gamma, beta)], -1))
        for i, (W_i, bias_i) in zip(tokens, seen, strict=True):
            W_i, bias_i = (W_i, bias_i) if causal else (W, bias)
            z = torch.einsum("bhd,bhde->bhe", q[:, :, i], W_i) + bias_i
            outs.append(q[:, :, i] + layer_norm(z, gamma, beta))
    return torch.stack(outs, 2)[:, heads, order], torch.stack(losses, 2)


def _mean_loss(tokens: range, k, v, W, bias, gamma, beta) -> Tensor:
    here = slice(tokens.start, tokens.stop)
    learned = layer_norm(k[:, :, here] @ W + bias[:, :, None], gamma[:, None], beta[:, None])
    return 0.5 * (learned - (v - k)[:, :, here]).square().sum(-1).mean(-1)


def draw(n: int, t: int, d: int = 6, b: int = 2, h: int = 3, dtype=torch.float64):
    """Random inputs with an lr and a rho of the size that a network has, and all of them rough."""
    g = torch.Generator().manual_seed(n * 1000 + t)
    normal = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)  # noqa: E731
    values = (
        *(normal(b, h, n, d) for _ in range(3)),
        torch.rand(b, h, n, generator=g, dtype=torch.float64) / d,
        1 / torch.arange(1, t + 1, dtype=torch.float64) + 0.1 * normal(t).abs(),
        0.3 * normal(h, d, d),
        0.3 * normal(h, d),
        1 + 0.3 * normal(h, d),
        0.3 * normal(h, d),
    )
    return tuple(value.to(dtype).requires_grad_() for value in values)


FORMS = [
    {},
    {"causal": False},
    {"backwards": [True, False, True]},
    {"causal": False, "backwards": [False, False, True]},
]


@pytest.mark.parametrize("n", [1, 20, 64, 128, 150])
@pytest.mark.parametrize("how", FORMS[::3])
def test_dual_form_equals_the_token_by_token_definition(n: int, how):
    inputs = draw(n, 64)
    out, losses = primal(*inputs, **how)
    torch.testing.assert_close(ttt_linear(*inputs, **how), out, rtol=0, atol=1e-10)
    again, found = ttt_linear_losses(*inputs, **how)
    torch.testing.assert_close(again, out, rtol=0, atol=1e-10)
    torch.testing.assert_close(found, losses.float(), rtol=1e-6, atol=0)


@pytest.mark.parametrize(("n", "t", "d"), [(1, 4, 4), (5, 8, 3), (8, 8, 2), (17, 8, 4), (24, 1, 5)])
@pytest.mark.parametrize("how", FORMS)
def test_every_gradient_equals_autograd_through_the_definition(n: int, t: int, d: int, how):
    inputs = draw(n, t, d)
    weight = torch.linspace(-2, 2, 6 * n * d, dtype=torch.float64).view(2, 3, n, d)
    ours = torch.autograd.grad((ttt_linear(*inputs, **how) * weight).sum(), inputs)
    truth = torch.autograd.grad(
        (primal(*inputs, **how)[0] * weight).sum(),
        inputs,
        allow_unused=True,
        materialize_grads=True,
    )
    for name, one, other in zip(NAMES, ours, truth, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9, msg=lambda m, n=name: n + m)


@pytest.mark.parametrize("how", [{}, {"causal": False, "backwards": [True, False]}])
def test_gradcheck(how):
    inputs = draw(5, 2, d=2, b=1, h=2)
    assert torch.autograd.gradcheck(lambda *x: ttt_linear(*x, **how), inputs)


def test_states_too_large_to_keep_are_formed_anew():
    """d + 1 > 8 t: the backward pass reads the sequence forwards once more."""
    inputs = draw(3, 1, d=8)
    ours = torch.autograd.grad(ttt_linear(*inputs).sin().sum(), inputs)
    truth = torch.autograd.grad(primal(*inputs)[0].sin().sum(), inputs)
    torch.testing.assert_close(ours, truth, rtol=1e-9, atol=1e-9)
    small, large = (
        torch.ops.segttt.ttt_linear(*inputs, EPS, True, None, keep, False)[1].numel()
        for keep in (False, True)
    )
    assert (small, large) == (0, 3 * 2 * 3 * 9 * 8)


def test_groups_of_mini_batches_change_nothing(monkeypatch):
    inputs = draw(45, 8)
    for how in FORMS:
        run = lambda: ttt_linear_losses(*inputs, **how)  # noqa: B023, E731
        whole = run()
        grads = torch.autograd.grad(whole[0].sin().sum(), inputs)
        with monkeypatch.context() as patch:
            patch.setattr(chunks, "GROUP_NUMBERS", 2 * 3 * 8 * 8 * 2)
            parts = run()
            torch.testing.assert_close(parts, whole, rtol=1e-12, atol=1e-12)
            again = torch.autograd.grad(parts[0].sin().sum(), inputs)
            torch.testing.assert_close(again, grads, rtol=1e-12, atol=1e-12)


def test_losses_have_no_gradient():
    out, losses = ttt_linear_losses(*draw(20, 8))
    assert out.requires_grad
    assert not losses.requires_grad


@pytest.mark.parametrize(
    ("n", "how"),
    [
        (3, (True, None, True, False)),
        (21, (False, [True, False], True, True)),
        (21, (True, [True, True], False, True)),
    ],
)
def test_opcheck(n: int, how):
    inputs = draw(n, 8, d=4, b=1, h=2, dtype=torch.float32)
    torch.library.opcheck(torch.ops.segttt.ttt_linear.default, (*inputs, EPS, *how))


@pytest.mark.parametrize("how", [{}, {"causal": False, "backwards": [True, False, True]}])
def test_compiles_as_one_graph(how):
    inputs = draw(21, 8, dtype=torch.float32)
    compiled = torch.compile(ttt_linear, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*inputs, **how), ttt_linear(*inputs, **how))
    ours = torch.autograd.grad(compiled(*inputs, **how).square().sum(), inputs)
    truth = torch.autograd.grad(ttt_linear(*inputs, **how).square().sum(), inputs)
    torch.testing.assert_close(ours, truth)


def test_losses_compile_as_one_graph():
    inputs = draw(21, 8, dtype=torch.float32)
    compiled = torch.compile(ttt_linear_losses, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*inputs), ttt_linear_losses(*inputs))


@pytest.mark.parametrize("n", [1, 63, 150])
def test_float32_is_accurate_forward_and_backward(n: int):
    """Single precision of a sum over at most 150 tokens of size one: five digits, relative."""
    exact, single = draw(n, 64, d=20), draw(n, 64, d=20, dtype=torch.float32)
    pairs = [(ttt_linear(*single), ttt_linear(*exact))]
    pairs += zip(
        torch.autograd.grad(pairs[0][0].sin().sum(), single),
        torch.autograd.grad(pairs[0][1].sin().sum(), exact),
        strict=True,
    )
    for name, (one, other) in zip(("out", *NAMES), pairs, strict=True):
        error = (one.double() - other).norm() / (other.norm() + 1e-12)
        assert one.dtype == torch.float32
        assert error < (1e-5 if name == "out" else 1e-4), name


def test_half_precision_inputs_and_autocast_keep_the_state_in_float32():
    inputs = draw(100, 16, d=8, dtype=torch.float32)
    plain = ttt_linear(*inputs)
    with torch.autocast("cpu", torch.bfloat16):
        island = ttt_linear(*inputs)
        island_grads = torch.autograd.grad(island.square().sum(), inputs)
    torch.testing.assert_close(island, plain, rtol=0, atol=0)
    torch.testing.assert_close(
        island_grads, torch.autograd.grad(plain.square().sum(), inputs), rtol=0, atol=0
    )
    rounded = [x.detach().bfloat16().requires_grad_(index < 3) for index, x in enumerate(inputs)]
    out = ttt_linear(*rounded)
    assert out.dtype == torch.bfloat16
    _, states = reference.forward(*rounded, EPS)
    assert states.dtype == torch.float32
    out.sum().backward()
    assert rounded[0].grad is not None
    assert rounded[0].grad.dtype == torch.bfloat16


def test_without_inner_learning_rate_nothing_is_learned():
    q, k, v, lr, rho, W0, b0, gamma, beta = draw(40, 16)
    out = ttt_linear(q, k, v, 0 * lr, rho, W0, b0, gamma, beta)
    frozen = q + layer_norm(q @ W0 + b0[:, None], gamma[:, None], beta[:, None])
    torch.testing.assert_close(out, frozen, rtol=0, atol=1e-12)
    assert (ttt_linear(q, k, v, lr, rho, W0, b0, gamma, beta) - frozen).abs().max() > 0.1


def test_learning_lowers_the_inner_loss():
    """On a sequence that repeats one linear map, later tokens are reconstructed better."""
    g = torch.Generator().manual_seed(0)
    d, n = 8, 512
    k = torch.randn(1, 1, n, d, generator=g)
    target = torch.nn.functional.layer_norm(k @ torch.randn(d, d, generator=g), (d,))
    lr = torch.full((1, 1, n), 0.5 / d)
    rho = 1 / torch.arange(1, 17.0)
    zero, one = torch.zeros(1, d), torch.ones(1, d)
    W0 = 0.02 * torch.randn(1, d, d, generator=g)
    out = ttt_linear(k, k, k + target, lr, rho, W0, zero, one, zero)
    error = (out - k - target).square().mean(-1)[0, 0]
    assert error[-64:].mean() < 0.5 * error[:16].mean()


def test_a_token_sees_no_later_token():
    inputs = [x.detach() for x in draw(40, 16)]
    before = ttt_linear(*inputs)
    for index in range(3):
        inputs[index] = inputs[index].clone()
        inputs[index][:, :, 25:] += 1
    after = ttt_linear(*inputs)
    torch.testing.assert_close(after[:, :, :25], before[:, :, :25], rtol=0, atol=0)
    assert (after[:, :, 25:] - before[:, :, 25:]).abs().min() > 0


def test_constant_tokens_give_no_nan():
    """Zero variance in both norms is where LN is closest to a division by zero."""
    zeros = torch.zeros(1, 2, 20, 4, requires_grad=True)
    lr, rho = torch.full((1, 2, 20), 0.25), 1 / torch.arange(1, 9.0)
    W0, b0 = torch.zeros(2, 4, 4, requires_grad=True), torch.zeros(2, 4)
    out = ttt_linear(zeros, zeros, zeros, lr, rho, W0, b0, torch.ones(2, 4), torch.zeros(2, 4))
    out.sum().backward()
    assert torch.equal(out, torch.zeros_like(out))
    assert zeros.grad is not None
    assert W0.grad is not None
    assert zeros.grad.isfinite().all()
    assert W0.grad.isfinite().all()


def test_batch_equals_one_by_one():
    q, k, v, lr, *rest = draw(30, 8)
    alone = [ttt_linear(*(x[i : i + 1] for x in (q, k, v, lr)), *rest) for i in (0, 1)]
    torch.testing.assert_close(ttt_linear(q, k, v, lr, *rest), torch.cat(alone), rtol=0, atol=1e-12)
