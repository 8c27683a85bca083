"""The selective scan of Mamba, any number of scans with weights of their own at once."""

from typing import Any

import torch
from torch import Size, Tensor
from torch.utils.flop_counter import register_flop_formula

from segttt.kernels.selective_scan import cpu


def selective_scan(
    u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, dt_bias: Tensor
) -> Tensor:
    """y_t = <C_t, h_t> + D u_t, where h_t = exp(delta_t A) h_{t-1} + delta_t u_t B_t.

    delta = softplus(dt + dt_bias). u, dt [b, g, n, d]: g scans of n tokens and d channels each;
    A [g, d, s] negative; B, C [b, g, n, s]; D, dt_bias [g, d]. Any n >= 1. Returns [b, g, n, d] in
    the dtype of u; the state is float32, or float64 where u is.
    Source: arXiv 2312.00752, equation 2 and algorithm 2.
    """
    out, _ = _selective_scan(u, dt, A, B, C, D, dt_bias)
    return out


@torch.library.custom_op("segttt::selective_scan", mutates_args=())
def _selective_scan(
    u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, dt_bias: Tensor
) -> tuple[Tensor, Tensor]:
    """The output, and the states [m, b, g, s, d] that the backward pass starts from."""
    with torch.autocast(u.device.type, enabled=False):
        return cpu.forward(cpu.Inputs(u, dt, A, B, C, D, dt_bias))


@_selective_scan.register_fake
def _(
    u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, dt_bias: Tensor
) -> tuple[Tensor, Tensor]:
    b, g, n, d = u.shape
    shape = (-(-n // cpu.CHUNK), b, g, A.shape[-1], d)
    state_dtype = torch.promote_types(u.dtype, torch.float32)
    return u.new_empty(u.shape), u.new_empty(shape, dtype=state_dtype)


@torch.library.custom_op("segttt::selective_scan_backward", mutates_args=())
def _selective_scan_backward(
    d_out: Tensor,
    states: Tensor,
    u: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    dt_bias: Tensor,
) -> list[Tensor]:
    """Gradients of u, dt, A, B, C, D and dt_bias, in their dtypes."""
    with torch.autocast(u.device.type, enabled=False):
        grads = cpu.backward(d_out, states, cpu.Inputs(u, dt, A, B, C, D, dt_bias))
    return [grad.contiguous() for grad in grads]


@_selective_scan_backward.register_fake
def _(
    d_out: Tensor,
    states: Tensor,
    u: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    dt_bias: Tensor,
) -> list[Tensor]:
    return [x.new_empty(x.shape) for x in (u, dt, A, B, C, D, dt_bias)]


def _save(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(output[1], *inputs)


def _backward(ctx: Any, d_out: Tensor, _: Tensor) -> tuple[Tensor, ...]:
    return tuple(_selective_scan_backward(d_out, *ctx.saved_tensors))


_selective_scan.register_autograd(_backward, setup_context=_save)


@register_flop_formula(torch.ops.segttt.selective_scan)
def _flops(u: Size, dt: Size, A: Size, *_, **__) -> int:
    """Nine operations per token, channel and state, of which the exponential is three."""
    b, g, n, d = u
    return 9 * b * g * n * d * A[-1]


@register_flop_formula(torch.ops.segttt.selective_scan_backward)
def _flops_backward(d_out: Size, states: Size, u: Size, dt: Size, A: Size, *_, **__) -> int:
    """The step of the forward pass anew, seven, and its gradients, fifteen."""
    b, g, n, d = u
    return 22 * b * g * n * d * A[-1]
