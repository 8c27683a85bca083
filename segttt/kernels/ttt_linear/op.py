"""TTT-Linear: a linear inner model that takes one gradient step per mini-batch of tokens."""

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor

from segttt.kernels import backend
from segttt.kernels.arguments import directions, require
from segttt.kernels.ttt_linear import reference

WORTH_SAVING = 8
"""States are kept for the backward pass where they take at most this many times the room of the
float32 output. Beyond, which only mini-batches below d / 8 tokens are, it forms them anew."""


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
    *,
    causal: bool = True,
    backwards: Collection[bool] | None = None,
) -> Tensor:
    """q + LN(q W_i + b_i), where (W_i, b_i) has learned to map k_j to v_j for the tokens j <= i.

    q, k, v [b, h, n, d]; lr [b, h, n] inner learning rate of each token; rho [t] position scale,
    t tokens make a mini-batch; W0 [h, d, d] and b0, gamma, beta [h, d] per head. Any n >= 1 and d.
    Where not `causal`, all tokens of a mini-batch see the state after it, for which rho at its last
    token counts. Heads for which `backwards` holds read from the last token to the first.
    Returns [b, h, n, d] in the dtype of q; the state is float32, or float64 where q is.
    Raises UsageError where shapes do not fit. Source: arXiv 2407.04620, sections 2.4 and 2.5, in
    the dual form.
    """
    tensors = (q, k, v, lr, rho, W0, b0, gamma, beta)
    keep = _keep(q, rho, any(one.requires_grad for one in tensors))
    turned = None if backwards is None else list(backwards)
    return _ttt_linear(*tensors, eps, causal, turned, keep, False)[0]


def ttt_linear_losses(
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
    *,
    causal: bool = True,
    backwards: Collection[bool] | None = None,
) -> tuple[Tensor, Tensor]:
    """`ttt_linear`, and what its inner model has left to learn.

    The losses [b, h, m, 2] are ½‖LN(k W + b) - (v - k)‖² before and after the update of each of the
    m mini-batches, mean over its tokens, in float32 and without a gradient. Mini-batches are in the
    order of reading.
    """
    tensors = (q, k, v, lr, rho, W0, b0, gamma, beta)
    keep = _keep(q, rho, any(one.requires_grad for one in tensors))
    turned = None if backwards is None else list(backwards)
    out, _, losses = _ttt_linear(*tensors, eps, causal, turned, keep, True)
    return out, losses.detach()


def _keep(q: Tensor, rho: Tensor, differentiable: bool) -> bool:
    """Whether the states are to be kept for a backward pass."""
    worth = q.shape[3] + 1 <= WORTH_SAVING * min(q.shape[2], rho.shape[0])
    return worth and differentiable and torch.is_grad_enabled()


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
    causal: bool,
    backwards: list[bool] | None,
    keep: bool,
    measure: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """The output, and where asked for the states [m, b, h, d + 1, d] and losses [b, h, m, 2]."""
    tensors = (q, k, v, lr, rho, W0, b0, gamma, beta)
    h, d = q.shape[1], q.shape[3]
    require(
        k=(k, q.shape), v=(v, q.shape), lr=(lr, q.shape[:3]), rho=(rho, rho.shape),
        W0=(W0, (h, d, d)), b0=(b0, (h, d)), gamma=(gamma, (h, d)), beta=(beta, (h, d)),
    )  # fmt: skip
    directions(backwards, h, "heads")
    with torch.autocast(q.device.type, enabled=False):
        chosen = backend.chosen(q, "ttt_linear")
        how = {"causal": causal, "backwards": backwards}
        if chosen == "triton":
            from segttt.kernels.ttt_linear import triton_forward

            with torch.cuda.device_of(q):  # kernels start on the current device, not on that of q
                return triton_forward.forward(*tensors, eps, **how, keep=keep, measure=measure)
        if chosen == "numba":
            from segttt.kernels.ttt_linear import numba_step

            return numba_step.forward(*tensors, eps, **how, keep=keep, measure=measure)
        out, states = reference.forward(*tensors, eps, **how)
        losses = q.new_empty(0, dtype=torch.float32)
        if measure:
            losses = reference.losses(
                states, (q, k, v, lr, rho), gamma, beta, eps, backwards=backwards
            )
    return out.contiguous(), states if keep else states.new_empty(0), losses


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
    causal: bool,
    backwards: list[bool] | None,
    keep: bool,
    measure: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    b, h, n, d = q.shape
    m = -(-n // min(n, rho.shape[0]))
    kind = torch.promote_types(q.dtype, torch.float32)
    states = q.new_empty((m + (not causal), b, h, d + 1, d) if keep else 0, dtype=kind)
    losses = q.new_empty((b, h, m, 2) if measure else 0, dtype=torch.float32)
    return q.new_empty(q.shape), states, losses


@torch.library.custom_op("segttt::ttt_linear_backward", mutates_args=())
def _ttt_linear_backward(
    d_out: Tensor,
    states: Tensor,
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
    causal: bool,
    backwards: list[bool] | None,
) -> list[Tensor]:
    """Gradients of q, k, v, lr, rho, W0, b0, gamma and beta, in the dtype of the states."""
    sequences, how = (q, k, v, lr, rho), {"causal": causal, "backwards": backwards}
    with torch.autocast(q.device.type, enabled=False):
        if not states.numel():
            tensors = (*sequences, W0, b0, gamma, beta)
            _, states, _ = _ttt_linear(*tensors, eps, causal, backwards, True, False)
        chosen = backend.chosen(q, "ttt_linear")
        if chosen == "triton":
            from segttt.kernels.ttt_linear import triton_backward

            with torch.cuda.device_of(q):
                grads = triton_backward.backward(d_out, states, sequences, gamma, beta, eps, **how)
        elif chosen == "numba":
            from segttt.kernels.ttt_linear import numba_step

            grads = numba_step.backward(d_out, states, sequences, gamma, beta, eps, **how)
        else:
            grads = reference.backward(d_out, states, sequences, gamma, beta, eps, **how)
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
    W0: Tensor,
    b0: Tensor,
    gamma: Tensor,
    beta: Tensor,
    eps: float,
    causal: bool,
    backwards: list[bool] | None,
) -> list[Tensor]:
    inputs = (q, k, v, lr, rho, W0, b0, gamma, beta)
    return [states.new_empty(one.shape) for one in inputs]


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    *tensors, ctx.eps, ctx.causal, ctx.backwards, _, _ = inputs
    ctx.save_for_backward(output[1], *tensors)
    ctx.mark_non_differentiable(*output[1:])
    ctx.set_materialize_grads(value=False)  # of the states, which are large
    ctx.dtypes = [tensor.dtype for tensor in tensors]


def _backward(ctx: Any, d_out: Tensor | None, *_: Tensor | None) -> tuple[Tensor | None, ...]:
    if d_out is None:  # nothing depends on the output
        return (None,) * 14
    grads = _ttt_linear_backward(d_out, *ctx.saved_tensors, ctx.eps, ctx.causal, ctx.backwards)
    cast = (grad.to(dtype) for grad, dtype in zip(grads, ctx.dtypes, strict=True))
    return *cast, None, None, None, None, None


_ttt_linear.register_autograd(_backward, setup_context=_save)
