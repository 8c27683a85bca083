"""TTT-Linear: a linear inner model that takes one gradient step per mini-batch of tokens."""

from typing import Any

import torch
from torch import Size, Tensor
from torch.utils.flop_counter import register_flop_formula

from segttt.kernels.ttt_linear import reference


def ttt_linear(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lr: Tensor,
    rho: Tensor,
    W0: Tensor,
    b0: Tensor,
    gamma: Tensor,
    beta: Tensor,
    eps: float = 1e-6,
) -> Tensor:
    """q + LN(q W_i + b_i), where (W_i, b_i) has learned to map k_j to v_j for the tokens j <= i.

    q, k, v [b, h, n, d]; lr [b, h, n] inner learning rate of each token; rho [t] position scale,
    t tokens make a mini-batch; W0 [h, d, d] and b0, gamma, beta [h, d] per head. Any n >= 1 and d.
    Returns [b, h, n, d] in the dtype of q; the state is float32, or float64 where q is.
    Source: arXiv 2407.04620, sections 2.4 and 2.5, in the dual form.
    """
    out, _ = _ttt_linear(q, k, v, lr, rho, W0, b0, gamma, beta, eps)
    return out


@torch.library.custom_op("segttt::ttt_linear", mutates_args=())
def _ttt_linear(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lr: Tensor,
    rho: Tensor,
    W0: Tensor,
    b0: Tensor,
    gamma: Tensor,
    beta: Tensor,
    eps: float,
) -> tuple[Tensor, Tensor]:
    """The output, and the states [m, b, h, d + 1, d] that the backward pass starts from."""
    with torch.autocast(q.device.type, enabled=False):
        out, states = reference.forward(q, k, v, lr, rho, W0, b0, gamma, beta, eps)
    return out.contiguous(), states


@_ttt_linear.register_fake
def _(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lr: Tensor,
    rho: Tensor,
    W0: Tensor,
    b0: Tensor,
    gamma: Tensor,
    beta: Tensor,
    eps: float,
) -> tuple[Tensor, Tensor]:
    b, h, n, d = q.shape
    shape = (-(-n // min(n, rho.shape[0])), b, h, d + 1, d)
    state_dtype = torch.promote_types(q.dtype, torch.float32)
    return q.new_empty(q.shape), q.new_empty(shape, dtype=state_dtype)


@torch.library.custom_op("segttt::ttt_linear_backward", mutates_args=())
def _ttt_linear_backward(
    d_out: Tensor,
    states: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lr: Tensor,
    rho: Tensor,
    gamma: Tensor,
    beta: Tensor,
    eps: float,
) -> list[Tensor]:
    """Gradients of q, k, v, lr, rho, W0, b0, gamma and beta, in the dtype of the states."""
    with torch.autocast(q.device.type, enabled=False):
        grads = reference.backward(d_out, states, (q, k, v, lr, rho), gamma, beta, eps)
    return [grad.contiguous() for grad in grads]


@_ttt_linear_backward.register_fake
def _(
    d_out: Tensor,
    states: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lr: Tensor,
    rho: Tensor,
    gamma: Tensor,
    beta: Tensor,
    eps: float,
) -> list[Tensor]:
    h, d = gamma.shape
    shapes = (q.shape, q.shape, q.shape, lr.shape, rho.shape, (h, d, d), (h, d), (h, d), (h, d))
    return [states.new_empty(shape) for shape in shapes]


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.eps = inputs
    q, k, v, lr, rho, _, _, gamma, beta = tensors
    ctx.save_for_backward(output[1], q, k, v, lr, rho, gamma, beta)
    ctx.dtypes = [tensor.dtype for tensor in tensors]


def _backward(ctx: Any, d_out: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    grads = _ttt_linear_backward(d_out, *ctx.saved_tensors, ctx.eps)
    return *(grad.to(dtype) for grad, dtype in zip(grads, ctx.dtypes, strict=True)), None


_ttt_linear.register_autograd(_backward, setup_context=_save)


@register_flop_formula(torch.ops.segttt.ttt_linear)
def _flops(q: Size, k: Size, v: Size, lr: Size, rho: Size, *_, **__) -> int:
    """The products of `reference.forward`; a multiplication and an addition are two operations."""
    b, h, n, d = q
    return b * h * n * (6 * d * d + 4 * min(n, rho[0]) * d)


@register_flop_formula(torch.ops.segttt.ttt_linear_backward)
def _flops_backward(
    d_out: Size,
    states: Size,
    q: Size,
    k: Size,
    v: Size,
    lr: Size,
    rho: Size,
    *_,
    **__,
) -> int:
    """The products of `reference.backward`, which forms those of the forward pass anew."""
    b, h, n, d = q
    return b * h * n * (18 * d * d + 12 * min(n, rho[0]) * d)
