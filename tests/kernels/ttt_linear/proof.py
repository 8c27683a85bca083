"""The numbers of TTT-Linear's GPU kernels against those of the reference in float64."""

import torch
from torch import Tensor

from segttt.kernels.ttt_linear import reference, triton_backward, triton_forward

EPS = 1e-6
FORMS = [
    {},
    {"causal": False},
    {"backwards": [True, False]},
    {"causal": False, "backwards": [False, True]},
]


def draw(n: int, t: int, d: int, b: int = 1, h: int = 2) -> list[Tensor]:
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


def close(name: str, one: Tensor, other: Tensor, tolerance: float) -> None:
    assert one.shape == other.shape, name
    error = (one.double() - other).abs().max() / (other.abs().max() + 1e-30)
    assert error < tolerance, (name, error)


def check(inputs: list[Tensor], how: dict, rounding: float = 0.0) -> None:
    """Single precision sums of at most 150 tokens keep five digits of the largest value.

    `rounding` is that of the output's type; gradients come in float32 whatever the inputs.
    """
    exact = [x.double() for x in inputs]
    sequences, norm = slice(5), slice(7, 9)
    out, states, losses = triton_forward.forward(*inputs, EPS, **how, measure=True)
    truth, starts = reference.forward(*exact, EPS, **how)
    turned = {"backwards": how.get("backwards")}
    measured = reference.losses(starts, tuple(exact[sequences]), *exact[norm], EPS, **turned)
    assert out.dtype == inputs[0].dtype
    close("out", out, truth, 1e-5 + rounding)
    close("states", states, starts, 1e-5)
    close("losses", losses, measured.double(), 1e-5)
    d_out = torch.linspace(-2, 2, out.numel()).cos().view(out.shape).to(out.dtype)
    passed = (d_out, states, tuple(inputs[sequences]), *inputs[norm], EPS)
    ours = triton_backward.backward(*passed, **how)
    truths = (d_out.double(), starts, tuple(exact[sequences]), *exact[norm], EPS)
    for name, one in reference.backward(*truths, **how)._asdict().items():
        close(name, getattr(ours, name), one, 1e-4)
