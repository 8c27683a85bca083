"""TTT-Linear against its definition, token by token, in float64."""

import pytest
import torch
from torch import Tensor

from segttt.kernels.ttt_linear import reference
from segttt.kernels.ttt_linear.op import ttt_linear

EPS = 1e-6
NAMES = ("q", "k", "v", "lr", "rho", "W0", "b0", "gamma", "beta")


def layer_norm(z: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    centred = z - z.mean(-1, keepdim=True)
    return gamma * centred / (centred.square().mean(-1, keepdim=True) + EPS).sqrt() + beta


def primal(q, k, v, lr, rho, W0, b0, gamma, beta) -> Tensor:
    """One token after another; inner gradients by autograd, taken at the mini-batch's start."""
    b, _, n, _ = q.shape
    W, bias = (W0.repeat(b, 1, 1, 1), b0.repeat(b, 1, 1)) if n else (W0, b0)
    outs = []
    for start in range(0, n, len(rho)):
        W, bias = W.clone().requires_grad_(), bias.clone().requires_grad_()
        d_W, d_bias = torch.zeros_like(W), torch.zeros_like(bias)
        for i in range(start, min(start + len(rho), n)):
            z = torch.einsum("bhd,bhde->bhe", k[:, :, i], W) + bias
            error = layer_norm(z, gamma, beta) - (v[:, :, i] - k[:, :, i])
            grads = torch.autograd.grad(0.5 * error.square().sum(), (W, bias), create_graph=True)
            d_W = d_W + lr[:, :, i, None, None] * grads[0]
            d_bias = d_bias + lr[:, :, i, None] * grads[1]
            W_i, bias_i = W - rho[i - start] * d_W, bias - rho[i - start] * d_bias
            z = torch.einsum("bhd,bhde->bhe", q[:, :, i], W_i) + bias_i
            outs.append(q[:, :, i] + layer_norm(z, gamma, beta))
        W, bias = W_i, bias_i
    return torch.stack(outs, 2)


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


@pytest.mark.parametrize("n", [1, 20, 64, 128, 150])
def test_dual_form_equals_the_token_by_token_definition(n: int):
    inputs = draw(n, 64)
    torch.testing.assert_close(ttt_linear(*inputs), primal(*inputs), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("n", "t", "d"), [(1, 4, 4), (5, 8, 3), (8, 8, 2), (17, 8, 4), (24, 1, 5)])
def test_every_gradient_equals_autograd_through_the_definition(n: int, t: int, d: int):
    inputs = draw(n, t, d)
    weight = torch.linspace(-2, 2, 6 * n * d, dtype=torch.float64).view(2, 3, n, d)
    ours = torch.autograd.grad((ttt_linear(*inputs) * weight).sum(), inputs)
    truth = torch.autograd.grad(
        (primal(*inputs) * weight).sum(), inputs, allow_unused=True, materialize_grads=True
    )
    for name, one, other in zip(NAMES, ours, truth, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9, msg=lambda m, n=name: n + m)


def test_gradcheck():
    inputs = draw(5, 2, d=2, b=1, h=2)
    assert torch.autograd.gradcheck(ttt_linear, inputs)


@pytest.mark.parametrize("n", [3, 21])
def test_opcheck(n: int):
    inputs = draw(n, 8, d=4, b=1, h=2, dtype=torch.float32)
    torch.library.opcheck(torch.ops.segttt.ttt_linear.default, (*inputs, EPS))


def test_compiles_as_one_graph():
    inputs = draw(21, 8, dtype=torch.float32)
    compiled = torch.compile(ttt_linear, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*inputs), ttt_linear(*inputs))
    ours = torch.autograd.grad(compiled(*inputs).square().sum(), inputs)
    truth = torch.autograd.grad(ttt_linear(*inputs).square().sum(), inputs)
    torch.testing.assert_close(ours, truth)


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
