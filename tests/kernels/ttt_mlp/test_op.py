"""TTT-MLP against its definition, token by token, in float64."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from segttt.kernels.ttt_mlp import reference
from segttt.kernels.ttt_mlp.op import ttt_mlp, ttt_mlp_losses

EPS = 1e-6
NAMES = ("q", "k", "v", "lr", "rho", "W1", "b1", "W2", "b2", "gamma", "beta")


def layer_norm(z: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    centred = z - z.mean(-1, keepdim=True)
    return gamma * centred / (centred.square().mean(-1, keepdim=True) + EPS).sqrt() + beta


def mlp(z: Tensor, W1: Tensor, b1: Tensor, W2: Tensor, b2: Tensor) -> Tensor:
    """One token [b, h, d] through the inner model."""
    hidden = torch.einsum("bhd,bhdw->bhw", z, W1) + b1
    return torch.einsum("bhw,bhwd->bhd", F.gelu(hidden, approximate="tanh"), W2) + b2


def primal(
    q, k, v, lr, rho, W1, b1, W2, b2, gamma, beta, *, causal: bool = True, backwards=None
) -> tuple[Tensor, Tensor]:
    """One token after another; inner gradients by autograd, taken at the mini-batch's start.

    Returns the outputs, and the inner losses before and after each mini-batch.
    """
    b, h, n, _ = q.shape
    order = torch.arange(n).expand(h, n)
    if backwards is not None:
        order = torch.where(torch.tensor(backwards)[:, None], n - 1 - order, order)
    heads = torch.arange(h)[:, None]
    q, k, v, lr = (x[:, heads, order] for x in (q, k, v, lr))
    learned = [p.expand(b, *p.shape) for p in (W1, b1, W2, b2)]

    def loss(i: int, state: list[Tensor]) -> Tensor:
        error = layer_norm(mlp(k[:, :, i], *state), gamma, beta) - (v - k)[:, :, i]
        return 0.5 * error.square().sum(-1)

    outs, losses = [], []
    for start in range(0, n, len(rho)):
        state = [p.clone().requires_grad_() for p in learned]
        moved = [torch.zeros_like(p) for p in state]
        tokens, seen = range(start, min(start + len(rho), n)), []
        for i in tokens:
            grads = torch.autograd.grad(loss(i, state).sum(), state, create_graph=True)
            rates = (lr[:, :, i].view(b, -1, *[1] * (p.ndim - 2)) for p in state)
            moved = [m + rate * g for m, rate, g in zip(moved, rates, grads, strict=True)]
            seen.append([p - rho[i - start] * m for p, m in zip(state, moved, strict=True)])
        learned = seen[-1]
        pair = [torch.stack([loss(i, one) for i in tokens]).mean(0) for one in (state, learned)]
        losses.append(torch.stack(pair, -1))
        for i, own in zip(tokens, seen, strict=True):
            answer = mlp(q[:, :, i], *(own if causal else learned))
            outs.append(q[:, :, i] + layer_norm(answer, gamma, beta))
    return torch.stack(outs, 2)[:, heads, order], torch.stack(losses, 2)


def draw(n: int, t: int, d: int = 3, b: int = 2, h: int = 2, dtype=torch.float64):
    """Random inputs with an lr and a rho of the size that a network has, and all of them rough."""
    g = torch.Generator().manual_seed(n * 1000 + t)
    normal = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)  # noqa: E731
    values = (
        *(normal(b, h, n, d) for _ in range(3)),
        torch.rand(b, h, n, generator=g, dtype=torch.float64) / d,
        1 / torch.arange(1, t + 1, dtype=torch.float64) + 0.1 * normal(t).abs(),
        0.4 * normal(h, d, 4 * d),
        0.4 * normal(h, 4 * d),
        0.4 * normal(h, 4 * d, d),
        0.4 * normal(h, d),
        1 + 0.3 * normal(h, d),
        0.3 * normal(h, d),
    )
    return tuple(value.to(dtype).requires_grad_() for value in values)


FORMS = [
    {},
    {"causal": False},
    {"backwards": [True, False]},
    {"causal": False, "backwards": [False, True]},
]


@pytest.mark.parametrize("t", [1, 8, 64])
@pytest.mark.parametrize("n", [1, 5, 16, 37, 130])
@pytest.mark.parametrize("how", FORMS[::3])
def test_dual_form_equals_the_token_by_token_definition(n: int, t: int, how):
    """To 1e-9, since what 130 steps of size one have rounded adds up."""
    inputs = [x.detach() for x in draw(n, t)]
    out, losses = primal(*inputs, **how)
    torch.testing.assert_close(ttt_mlp(*inputs, **how), out, rtol=0, atol=1e-9)
    again, found = ttt_mlp_losses(*inputs, **how)
    torch.testing.assert_close(again, out, rtol=0, atol=1e-9)
    torch.testing.assert_close(found, losses.float(), rtol=1e-6, atol=0)


@pytest.mark.parametrize(("n", "t", "d"), [(1, 4, 4), (5, 8, 3), (8, 8, 2), (17, 8, 5), (12, 1, 3)])
@pytest.mark.parametrize("how", FORMS)
def test_every_gradient_equals_autograd_through_the_definition(n: int, t: int, d: int, how):
    inputs = draw(n, t, d)
    weight = torch.linspace(-2, 2, 4 * n * d, dtype=torch.float64).view(2, 2, n, d)
    ours = torch.autograd.grad((ttt_mlp(*inputs, **how) * weight).sum(), inputs)
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
    assert torch.autograd.gradcheck(lambda *x: ttt_mlp(*x, **how), inputs)


def test_states_too_large_to_keep_are_formed_anew():
    """8 d + 5 > 10 t: the backward pass reads the sequence forwards once more."""
    inputs = draw(5, 2, d=4)
    ours = torch.autograd.grad(ttt_mlp(*inputs).sin().sum(), inputs)
    truth = torch.autograd.grad(primal(*inputs)[0].sin().sum(), inputs)
    torch.testing.assert_close(ours, truth, rtol=1e-9, atol=1e-9)
    sizes = [
        [x.numel() for x in torch.ops.segttt.ttt_mlp(*inputs, EPS, True, None, keep, False)[1:3]]
        for keep in (False, True)
    ]
    assert sizes == [[0, 0], [3 * 4 * 5 * 16, 3 * 4 * 17 * 4]]
    kept = torch.ops.segttt.ttt_mlp(*draw(64, 64, d=8), EPS, True, None, True, False)[1]
    again = ttt_mlp(*draw(64, 64, d=8)).grad_fn.saved_tensors[0]
    torch.testing.assert_close(again, kept, rtol=0, atol=0)


def test_groups_of_mini_batches_change_nothing(monkeypatch):
    inputs = draw(45, 8)
    for how in FORMS:
        run = lambda: ttt_mlp_losses(*inputs, **how)  # noqa: B023, E731
        whole = run()
        grads = torch.autograd.grad(whole[0].sin().sum(), inputs)
        with monkeypatch.context() as patch:
            patch.setattr(reference, "GROUP_NUMBERS", 2 * 2 * 8 * 12 * 2)
            parts = run()
            with torch.no_grad():
                unsaved = ttt_mlp(*inputs, **how)
            again = torch.autograd.grad(parts[0].sin().sum(), inputs)
        torch.testing.assert_close(parts, whole, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(unsaved, whole[0], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(again, grads, rtol=1e-12, atol=1e-12)


def test_losses_have_no_gradient():
    out, losses = ttt_mlp_losses(*draw(20, 8))
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
    inputs = draw(n, 8, d=4, b=1, dtype=torch.float32)
    torch.library.opcheck(torch.ops.segttt.ttt_mlp.default, (*inputs, EPS, *how))


@pytest.mark.parametrize("how", [{}, {"causal": False, "backwards": [True, False]}])
def test_compiles_as_one_graph(how):
    inputs = draw(21, 8, dtype=torch.float32)
    compiled = torch.compile(ttt_mlp, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*inputs, **how), ttt_mlp(*inputs, **how))
    ours = torch.autograd.grad(compiled(*inputs, **how).square().sum(), inputs)
    truth = torch.autograd.grad(ttt_mlp(*inputs, **how).square().sum(), inputs)
    torch.testing.assert_close(ours, truth)


def test_losses_compile_as_one_graph():
    inputs = draw(21, 8, dtype=torch.float32)
    compiled = torch.compile(ttt_mlp_losses, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*inputs), ttt_mlp_losses(*inputs))


@pytest.mark.parametrize("n", [1, 63, 150])
def test_float32_is_accurate_forward_and_backward(n: int):
    """Single precision of a sum over at most 150 tokens of size one: five digits, relative."""
    exact, single = draw(n, 64, d=20), draw(n, 64, d=20, dtype=torch.float32)
    pairs = [(ttt_mlp(*single), ttt_mlp(*exact))]
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
    plain = ttt_mlp(*inputs)
    with torch.autocast("cpu", torch.bfloat16):
        island = ttt_mlp(*inputs)
        island_grads = torch.autograd.grad(island.square().sum(), inputs)
    torch.testing.assert_close(island, plain, rtol=0, atol=0)
    torch.testing.assert_close(
        island_grads, torch.autograd.grad(plain.square().sum(), inputs), rtol=0, atol=0
    )
    rounded = [x.detach().bfloat16().requires_grad_() for x in inputs]
    out = ttt_mlp(*rounded)
    wide = ttt_mlp(*(x.detach().float() for x in rounded))
    torch.testing.assert_close(out, wide.bfloat16(), rtol=0, atol=0)
    _, *states = reference.forward(*rounded, EPS)
    assert [state.dtype for state in states] == [torch.float32] * 2
    grads = torch.autograd.grad(out.float().square().sum(), rounded)
    assert all(grad.dtype == torch.bfloat16 and grad.isfinite().all() for grad in grads)


def test_without_inner_learning_rate_it_is_the_plain_mlp():
    q, k, v, lr, rho, W1, b1, W2, b2, gamma, beta = draw(40, 16)
    hidden = F.gelu(q @ W1 + b1[:, None], approximate="tanh")
    frozen = q + layer_norm(hidden @ W2 + b2[:, None], gamma[:, None], beta[:, None])
    inner = (rho, W1, b1, W2, b2, gamma, beta)
    torch.testing.assert_close(ttt_mlp(q, k, v, 0 * lr, *inner), frozen, rtol=0, atol=1e-12)
    assert (ttt_mlp(q, k, v, lr, *inner) - frozen).abs().max() > 0.1


def test_learning_lowers_the_inner_loss():
    """On a sequence that repeats one map, later tokens are reconstructed better."""
    g = torch.Generator().manual_seed(0)
    d, n = 8, 512
    k = torch.randn(1, 1, n, d, generator=g)
    target = F.layer_norm(k @ torch.randn(d, d, generator=g), (d,))
    lr = torch.full((1, 1, n), 0.5 / d)
    rho = 1 / torch.arange(1, 17.0)
    first = (0.2 * torch.randn(1, d, 4 * d, generator=g), torch.zeros(1, 4 * d))
    second = (0.2 * torch.randn(1, 4 * d, d, generator=g), torch.zeros(1, d))
    out = ttt_mlp(k, k, k + target, lr, rho, *first, *second, torch.ones(1, d), torch.zeros(1, d))
    error = (out - k - target).square().mean(-1)[0, 0]
    assert error[-64:].mean() < 0.5 * error[:16].mean()


def test_a_token_sees_no_later_token():
    inputs = [x.detach() for x in draw(40, 16)]
    before = ttt_mlp(*inputs)
    for index in range(3):
        inputs[index] = inputs[index].clone()
        inputs[index][:, :, 25:] += 1
    after = ttt_mlp(*inputs)
    torch.testing.assert_close(after[:, :, :25], before[:, :, :25], rtol=0, atol=0)
    assert (after[:, :, 25:] - before[:, :, 25:]).abs().min() > 0


def test_extreme_values_give_finite_gradients():
    """Far out, gelu' is 0 or 1 and tanh is flat; all-zero tokens have no variance to divide by."""
    *sequences, lr, rho, W1, b1, W2, b2, gamma, beta = draw(20, 8, dtype=torch.float32)
    for size in (0.0, 1e4, 1e8):
        tokens = [(size * x.detach()).requires_grad_() for x in sequences]
        out = ttt_mlp(*tokens, lr, rho, W1, b1, W2, b2, gamma, beta)
        grads = torch.autograd.grad(out.sum(), (*tokens, W1, b1, W2, b2))
        assert out.isfinite().all()
        assert all(grad.isfinite().all() for grad in grads)


def test_batch_equals_one_by_one():
    q, k, v, lr, *rest = draw(30, 8)
    alone = [ttt_mlp(*(x[i : i + 1] for x in (q, k, v, lr)), *rest) for i in (0, 1)]
    torch.testing.assert_close(ttt_mlp(q, k, v, lr, *rest), torch.cat(alone), rtol=0, atol=1e-12)
