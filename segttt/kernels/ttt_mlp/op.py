"""TTT-MLP: an inner model of two layers that takes one gradient step per mini-batch of tokens."""

from typing import Any

import torch
from torch import Size, Tensor
from torch.utils.flop_counter import register_flop_formula

from segttt.kernels.ttt_mlp import reference


def ttt_mlp(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lr: Tensor,
    rho: Tensor,
    W1: Tensor,
    b1: Tensor,
    W2: Tensor,
    b2: Tensor,
    gamma: Tensor,
    beta: Tensor,
    eps: float = 1e-6,
) -> Tensor:
    """q + LN(f_i(q)), f(z) = gelu(z W1 + b1) W2 + b2, where f_i has learned k_j -> v_j for j <= i.

    q, k, v [b, h, n, d]; lr [b, h, n] inner learning rate of each token; rho [t] position scale,
    t tokens make a mini-batch; W1 [h, d, w], b1 [h, w], W2 [h, w, d] and b2, gamma, beta [h, d] per
    head, w = 4 d in the paper. Any n >= 1, d and w; gelu in its tanh form.
    Returns [b, h, n, d] in the dtype of q; the state is float32, or float64 where q is.
    Source: arXiv 2407.04620, sections 2.4 to 2.7, in the dual form.
    """
    out, _, _ = _ttt_mlp(q, k, v, lr, rho, W1, b1, W2, b2, gamma, beta, eps)
    return out


@torch.library.custom_op("segttt::ttt_mlp", mutates_args=())
def _ttt_mlp(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lr: Tensor,
    rho: Tensor,
    W1: Tensor,
    b1: Tensor,
    W2: Tensor,
    b2: Tensor,
    gamma: Tensor,
    beta: Tensor,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """The output, and the states [m, b, h, d + 1, w] and [m, b, h, w + 1, d] for backward."""
    with torch.autocast(q.device.type, enabled=False):
        out, first, second = reference.forward(q, k, v, lr, rho, W1, b1, W2, b2, gamma, beta, eps)
    return out.contiguous(), first, second


@_ttt_mlp.register_fake
def _(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lr: Tensor,
    rho: Tensor,
    W1: Tensor,
    b1: Tensor,
    W2: Tensor,
    b2: Tensor,
    gamma: Tensor,
    beta: Tensor,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    b, h, n, d = q.shape
    m, wide = -(-n // min(n, rho.shape[0])), b1.shape[1]
    kind = torch.promote_types(q.dtype, torch.float32)
    first = q.new_empty((m, b, h, d + 1, wide), dtype=kind)
    return q.new_empty(q.shape), first, q.new_empty((m, b, h, wide + 1, d), dtype=kind)


@torch.library.custom_op("segttt::ttt_mlp_backward", mutates_args=())
def _ttt_mlp_backward(
    d_out: Tensor,
    first: Tensor,
    second: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lr: Tensor,
    rho: Tensor,
    gamma: Tensor,
    beta: Tensor,
    eps: float,
) -> list[Tensor]:
    """Gradients of the arguments q to beta of `ttt_mlp`, in the dtype of the states."""
    with torch.autocast(q.device.type, enabled=False):
        grads = reference.backward(d_out, (first, second), (q, k, v, lr, rho), gamma, beta, eps)
    return [grad.contiguous() for grad in grads]


@_ttt_mlp_backward.register_fake
def _(
    d_out: Tensor,
    first: Tensor,
    second: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lr: Tensor,
    rho: Tensor,
    gamma: Tensor,
    beta: Tensor,
    eps: float,
) -> list[Tensor]:
    (h, d), wide = gamma.shape, first.shape[-1]
    sequences = (q.shape, q.shape, q.shape, lr.shape, rho.shape)
    inner = ((h, d, wide), (h, wide), (h, wide, d), (h, d))
    return [first.new_empty(shape) for shape in (*sequences, *inner, (h, d), (h, d))]


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    *tensors, ctx.eps = inputs
    q, k, v, lr, rho, *_, gamma, beta = tensors
    ctx.save_for_backward(*output[1:], q, k, v, lr, rho, gamma, beta)
    ctx.dtypes = [tensor.dtype for tensor in tensors]


def _backward(ctx: Any, d_out: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    grads = _ttt_mlp_backward(d_out, *ctx.saved_tensors, ctx.eps)
    return *(grad.to(dtype) for grad, dtype in zip(grads, ctx.dtypes, strict=True)), None


_ttt_mlp.register_autograd(_backward, setup_context=_save)


@register_flop_formula(torch.ops.segttt.ttt_mlp)
def _flops(q: Size, k: Size, v: Size, lr: Size, rho: Size, W1: Size, *_, **__) -> int:
    """The products of `reference.forward`; a multiplication and an addition are two operations."""
    (b, h, n, d), wide = q, W1[2]
    return b * h * n * (14 * d * wide + 4 * min(n, rho[0]) * (d + wide))


@register_flop_formula(torch.ops.segttt.ttt_mlp_backward)
def _flops_backward(
    d_out: Size, first: Size, second: Size, q: Size, k: Size, v: Size, lr: Size, rho: Size, *_, **__
) -> int:
    """The products of `reference.backward`, which forms those of the forward pass anew."""
    (b, h, n, d), wide = q, first[-1]
    return b * h * n * (38 * d * wide + 12 * min(n, rho[0]) * (d + wide))
