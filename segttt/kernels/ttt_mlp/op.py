"""TTT-MLP: an inner model of two layers that takes one gradient step per mini-batch of tokens."""

import warnings
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor

from segttt.kernels import backend
from segttt.kernels.arguments import directions, require
from segttt.kernels.ttt_mlp import choice, reference

WORTH_SAVING = 10
"""States are kept for the backward pass where they take at most this many times the room of the
float32 output: 8.1 at d = t = 64, 4.1 at d = 32. Beyond, in small mini-batches, it forms them anew,
which is a fifth of its work."""


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
    *,
    causal: bool = True,
    backwards: Collection[bool] | None = None,
) -> Tensor:
    """q + LN(f_i(q)), f(z) = gelu(z W1 + b1) W2 + b2, where f_i has learned k_j -> v_j for j <= i.

    q, k, v [b, h, n, d]; lr [b, h, n] inner learning rate of each token; rho [t] position scale,
    t tokens make a mini-batch; W1 [h, d, w], b1 [h, w], W2 [h, w, d] and b2, gamma, beta [h, d] per
    head, w = 4 d in the paper. Any n >= 1, d and w; gelu in its tanh form.
    Where not `causal`, all tokens of a mini-batch see the state after it, for which rho at its last
    token counts. Heads for which `backwards` holds read from the last token to the first.
    Returns [b, h, n, d] in the dtype of q; the state is float32, or float64 where q is.
    Raises UsageError where shapes do not fit. Source: arXiv 2407.04620, sections 2.4 to 2.7, in
    the dual form.
    """
    tensors = (q, k, v, lr, rho, W1, b1, W2, b2, gamma, beta)
    keep = _keep(q, rho, W1, any(one.requires_grad for one in tensors))
    turned = None if backwards is None else list(backwards)
    return _ttt_mlp(*tensors, eps, causal, turned, keep, False)[0]


def ttt_mlp_losses(
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
    *,
    causal: bool = True,
    backwards: Collection[bool] | None = None,
) -> tuple[Tensor, Tensor]:
    """`ttt_mlp`, and what its inner model has left to learn.

    The losses [b, h, m, 2] are ½‖LN(f(k)) - (v - k)‖² before and after the update of each of the m
    mini-batches, mean over its tokens, in float32 and without a gradient. Mini-batches are in the
    order of reading.
    """
    tensors = (q, k, v, lr, rho, W1, b1, W2, b2, gamma, beta)
    keep = _keep(q, rho, W1, any(one.requires_grad for one in tensors))
    turned = None if backwards is None else list(backwards)
    out, _, _, losses = _ttt_mlp(*tensors, eps, causal, turned, keep, True)
    return out, losses.detach()


def _keep(q: Tensor, rho: Tensor, W1: Tensor, differentiable: bool) -> bool:
    """Whether the states are to be kept for a backward pass."""
    d, wide = W1.shape[1:]
    room = 2 * d * wide + d + wide
    worth = room <= WORTH_SAVING * min(q.shape[2], rho.shape[0]) * d
    return worth and differentiable and torch.is_grad_enabled()


def _chosen(q: Tensor, rho: Tensor) -> backend.Name:
    """What runs these; warns where a GPU kernel would but for their sizes."""
    name = backend.chosen(q, "ttt_mlp")
    why = choice.unsuited(q, rho) if name == "triton" else None
    if why is None:
        return name
    warnings.warn(f"ttt_mlp runs as plain PyTorch: {why}", stacklevel=2)
    return "reference"


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
    causal: bool,
    backwards: list[bool] | None,
    keep: bool,
    measure: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The output, and where asked for the states and the losses [b, h, m, 2].

    The states are [m, b, h, d + 1, w] and [m, b, h, w + 1, d], one more each where not causal.
    """
    sequences, inner, norm = (q, k, v, lr, rho), (W1, b1, W2, b2), (gamma, beta)
    h, d, wide = q.shape[1], q.shape[3], W1.shape[-1]
    require(
        k=(k, q.shape), v=(v, q.shape), lr=(lr, q.shape[:3]), rho=(rho, rho.shape),
        W1=(W1, (h, d, wide)), b1=(b1, (h, wide)), W2=(W2, (h, wide, d)), b2=(b2, (h, d)),
        gamma=(gamma, (h, d)), beta=(beta, (h, d)),
    )  # fmt: skip
    directions(backwards, h, "heads")
    with torch.autocast(q.device.type, enabled=False):
        name, given = _chosen(q, rho), (sequences, inner, norm, eps, causal, backwards)
        if name == "triton":
            from segttt.kernels.ttt_mlp import triton_launch

            return triton_launch.forward(*given, keep=keep, measure=measure)
        if name == "numba":
            from segttt.kernels.ttt_mlp import numba_step

            return numba_step.forward(*given, keep=keep, measure=measure)
        how = {"causal": causal, "backwards": backwards}
        out, *states = reference.forward(
            *sequences, *inner, *norm, eps, **how, keep=keep or measure
        )
        losses = q.new_empty(0, dtype=torch.float32)
        if measure:
            first, second = states
            losses = reference.losses((first, second), sequences, *norm, eps, backwards=backwards)
    first, second = states if keep else (one.new_empty(0) for one in states)
    return out.contiguous(), first, second, losses


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
    causal: bool,
    backwards: list[bool] | None,
    keep: bool,
    measure: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    b, h, n, d = q.shape
    m, wide = -(-n // min(n, rho.shape[0])), b1.shape[1]
    starts, kind = m + (not causal), torch.promote_types(q.dtype, torch.float32)
    first = q.new_empty((starts, b, h, d + 1, wide) if keep else 0, dtype=kind)
    second = q.new_empty((starts, b, h, wide + 1, d) if keep else 0, dtype=kind)
    losses = q.new_empty((b, h, m, 2) if measure else 0, dtype=torch.float32)
    return q.new_empty(q.shape), first, second, losses


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
    W1: Tensor,
    b1: Tensor,
    W2: Tensor,
    b2: Tensor,
    gamma: Tensor,
    beta: Tensor,
    eps: float,
    causal: bool,
    backwards: list[bool] | None,
) -> list[Tensor]:
    """Gradients of the arguments q to beta of `ttt_mlp`, in the dtype of the states."""
    sequences, inner, norm = (q, k, v, lr, rho), (W1, b1, W2, b2), (gamma, beta)
    with torch.autocast(q.device.type, enabled=False):
        if not first.numel():
            _, first, second, _ = _ttt_mlp(
                *sequences, *inner, *norm, eps, causal, backwards, True, False
            )
        states = first, second
        name = _chosen(q, rho)
        if name == "triton":
            from segttt.kernels.ttt_mlp import triton_launch

            grads = triton_launch.backward(d_out, states, sequences, norm, eps, causal, backwards)
        elif name == "numba":
            from segttt.kernels.ttt_mlp import numba_step

            grads = numba_step.backward(d_out, states, sequences, norm, eps, causal, backwards)
        else:
            grads = reference.backward(
                d_out, states, sequences, *norm, eps, causal=causal, backwards=backwards
            )
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
    W1: Tensor,
    b1: Tensor,
    W2: Tensor,
    b2: Tensor,
    gamma: Tensor,
    beta: Tensor,
    eps: float,
    causal: bool,
    backwards: list[bool] | None,
) -> list[Tensor]:
    inputs = (q, k, v, lr, rho, W1, b1, W2, b2, gamma, beta)
    return [first.new_empty(one.shape) for one in inputs]


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, ctx.eps, ctx.causal, ctx.backwards, _, _ = inputs
    ctx.save_for_backward(*output[1:3], *tensors)
    ctx.mark_non_differentiable(*output[1:])
    ctx.set_materialize_grads(value=False)  # of the states, which are large
    ctx.dtypes = [tensor.dtype for tensor in tensors]


def _backward(ctx: Any, d_out: Tensor | None, *_: Tensor | None) -> tuple[Tensor | None, ...]:
    if d_out is None:  # nothing depends on the output
        return (None,) * 16
    grads = _ttt_mlp_backward(d_out, *ctx.saved_tensors, ctx.eps, ctx.causal, ctx.backwards)
    cast = (grad.to(dtype) for grad, dtype in zip(grads, ctx.dtypes, strict=True))
    return *cast, None, None, None, None, None


_ttt_mlp.register_autograd(_backward, setup_context=_save)
