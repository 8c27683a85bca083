"""The operators up to the launch of their GPU kernels, on tensors without data."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from segttt.kernels.causal_conv import triton_backward as conv_backward
from segttt.kernels.causal_conv import triton_forward as conv_forward
from segttt.kernels.causal_conv.op import causal_conv
from segttt.kernels.selective_scan import triton_backward as scan_backward
from segttt.kernels.selective_scan import triton_forward as scan_forward
from segttt.kernels.selective_scan.cpu import Inputs
from segttt.kernels.selective_scan.op import selective_scan
from segttt.kernels.ttt_inputs import triton_heads
from segttt.kernels.ttt_inputs.op import ttt_inputs
from segttt.kernels.ttt_inputs.reference import Inputs as TTTInputs
from segttt.kernels.ttt_linear import triton_backward as linear_backward
from segttt.kernels.ttt_linear import triton_forward as linear_forward
from segttt.kernels.ttt_linear.op import ttt_linear
from segttt.kernels.ttt_mlp import triton_launch as mlp
from segttt.kernels.ttt_mlp.op import ttt_mlp

Case = tuple[Callable[..., Tensor], list[Tensor], dict]
"""An operator, its differentiable arguments, and its other arguments."""


def cases(device: str, n: int = 70) -> dict[str, Case]:
    """Every operator with small arguments: more than one mini-batch, both directions."""
    rng = torch.Generator(device="cpu").manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=rng, device="cpu").to(device).requires_grad_()

    def tokens(d: int) -> list[Tensor]:
        rates = (torch.rand(2, 2, n, generator=rng, device="cpu") / d).to(device)
        scale = (1 / torch.arange(1.0, 17, device="cpu")).to(device)
        learned = [rates.requires_grad_(), scale.requires_grad_()]
        return [*(normal(2, 2, n, d) for _ in range(3)), *learned]

    turned = {"backwards": [False, True]}
    linear = [*tokens(8), normal(2, 8, 8), normal(2, 8), normal(2, 8), normal(2, 8)]
    inner = [normal(2, 8, 32), normal(2, 32), normal(2, 32, 8), normal(2, 8)]
    rate = (-torch.rand(2, 5, 4, generator=rng, device="cpu")).to(device).requires_grad_()
    scan = [normal(2, 2, n, 5), normal(2, 2, n, 5), rate, normal(2, 2, n, 4), normal(2, 2, n, 4)]
    scan += [normal(2, 5), normal(2, 5), normal(2, n, 5)]
    conv = [normal(2, 1, n, 12), normal(2, 12, 4), normal(2, 12)]
    parts = [*(normal(2, 2, n, 12) for _ in range(3)), normal(2, 2, n, 3), normal(2, 3), normal(16)]
    return {
        "ttt_inputs": (joined_inputs, parts, turned),
        "ttt_linear": (ttt_linear, linear, turned),
        "ttt_mlp": (ttt_mlp, [*tokens(8), *inner, normal(2, 8), normal(2, 8)], turned),
        "causal_conv": (causal_conv, conv, turned | {"activation": "silu"}),
        "selective_scan": (gated_scan, scan, turned),
    }


def joined_inputs(*given: Tensor, backwards: list[bool]) -> Tensor:
    """All that the operator gives, one after the other."""
    return torch.cat([x.flatten() for x in ttt_inputs(*given, 0.5, backwards)])


def gated_scan(*given: Tensor, backwards: list[bool]) -> Tensor:
    """Both directions of a scan, added and gated by the last tensor."""
    return selective_scan(*given[:7], backwards=backwards, merge="sum", z=given[7])


def _inputs(*given: object) -> None:
    triton_heads.forward(*given)


def _inputs_backward(*given: object) -> None:
    triton_heads.backward(TTTInputs(*given[:5]), *given[5:])


def _linear(*given: object) -> None:
    *tensors, eps, causal, backwards, keep, measure = given
    how = {"causal": causal, "backwards": backwards, "keep": keep, "measure": measure}
    linear_forward.forward(*tensors, eps, **how)


def _linear_backward(d_out: object, states: Tensor, *given: object) -> None:
    *sequences, _, _, gamma, beta, eps, causal, backwards = given
    how = {"causal": causal, "backwards": backwards}
    if not states.numel():  # not kept, so formed once more
        states = linear_forward.forward(*given[:9], eps, **how, keep=True)[1]
    linear_backward.backward(d_out, states, tuple(sequences), gamma, beta, eps, **how)


def _mlp(*given: object) -> None:
    eps, causal, backwards, keep, measure = given[11:]
    sizes = (eps, causal, backwards)
    mlp.forward(given[:5], given[5:9], given[9:11], *sizes, keep=keep, measure=measure)


def _mlp_backward(d_out: object, first: Tensor, second: Tensor, *given: object) -> None:
    if not first.numel():
        asked = (given[:5], given[5:9], given[9:11], *given[11:])
        _, first, second, _ = mlp.forward(*asked, keep=True, measure=False)
    mlp.backward(d_out, (first, second), given[:5], given[9:11], *given[11:])


def _conv(*given: object) -> None:
    conv_forward.forward(*given)


def _conv_backward(*given: object) -> None:
    conv_backward.backward(*given)


def _scan(*given: object) -> None:
    scan_forward.forward(Inputs(*given[:7]), *given[7:])


def _scan_backward(d_out: object, merged: object, starts: object, *given: object) -> None:
    scan_backward.backward(d_out, merged, starts, Inputs(*given[:7]), *given[7:])


LAUNCHES: dict[str, Callable[..., None]] = {
    "segttt.ttt_inputs.default": _inputs,
    "segttt.ttt_inputs_backward.default": _inputs_backward,
    "segttt.ttt_linear.default": _linear,
    "segttt.ttt_linear_backward.default": _linear_backward,
    "segttt.ttt_mlp.default": _mlp,
    "segttt.ttt_mlp_backward.default": _mlp_backward,
    "segttt.causal_conv.default": _conv,
    "segttt.causal_conv_backward.default": _conv_backward,
    "segttt.selective_scan.default": _scan,
    "segttt.selective_scan_backward.default": _scan_backward,
}


class Launching(TorchDispatchMode):
    """Launches what an operator would launch on a GPU; results remain those without data."""

    def __init__(self):
        super().__init__()
        self.calls: dict[str, tuple] = {}
        """The arguments of the last call of each operator."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if launch := LAUNCHES.get(str(func)):
            launch(*args, **(kwargs or {}))
            self.calls[str(func)] = args
        return func(*args, **(kwargs or {}))
