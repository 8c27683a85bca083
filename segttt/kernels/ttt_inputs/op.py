"""What the TTT operators read, from the projections of tokens, in one pass over memory."""

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor

from segttt.errors import UsageError
from segttt.kernels import backend
from segttt.kernels.arguments import directions, require
from segttt.kernels.ttt_inputs import reference


def ttt_inputs(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    rate: Tensor,
    bias: Tensor,
    position: Tensor,
    scale: float,
    backwards: Collection[bool] | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """q, k, v, lr and rho of `ttt_linear` and `ttt_mlp`, for g scans of h heads each.

    q, k, v [b, g, n, h * d] become [b, g * h, n, d], q and k with rotary positions: those within
    mini-batches of t tokens, counted from where a scan starts to read, which for those marked in
    `backwards` is the last token. lr [b, g * h, n] is scale * sigmoid(rate + bias) of rate
    [b, g, n, h] and bias [g, h]; rho [t] is relu(1 / (1, ..., t) + position). lr and rho are
    float32, or float64 where rate and position are. Arguments may have any strides, results are
    contiguous. Raises UsageError where d is odd, and where shapes do not fit.
    Sources: arXiv 2407.04620, section 2.7; arXiv 2104.09864.
    """
    scans, heads = rate.shape[1], rate.shape[3]
    turned = directions(backwards, scans, "scans")
    if q.shape[3] % (2 * heads):
        raise UsageError(
            f"{q.shape[3]} channels are not {heads} heads of an even width, which rotary positions "
            "need; give wider tokens, or other heads"
        )
    return _ttt_inputs(q, k, v, rate, bias, position, scale, turned)


@torch.library.custom_op("segttt::ttt_inputs", mutates_args=())
def _ttt_inputs(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    rate: Tensor,
    bias: Tensor,
    position: Tensor,
    scale: float,
    backwards: list[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    wide = (*rate.shape[:3], q.shape[3])
    require(
        q=(q, wide), k=(k, wide), v=(v, wide), bias=(bias, (rate.shape[1], rate.shape[3])),
        position=(position, position.shape),
    )  # fmt: skip
    given = (q, k, v, rate, bias, position)
    if backend.chosen(q, "ttt_inputs") == "triton":
        from segttt.kernels.ttt_inputs import triton_heads

        with torch.cuda.device_of(q):  # kernels start on the current device, not on that of q
            return triton_heads.forward(*given, scale, backwards)
    with torch.autocast(q.device.type, enabled=False):
        return reference.forward(*given, scale, backwards)


@_ttt_inputs.register_fake
def _(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    rate: Tensor,
    bias: Tensor,
    position: Tensor,
    scale: float,
    backwards: list[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    b, g, n, h = rate.shape
    q, k, v = (one.new_empty((b, g * h, n, one.shape[3] // h)) for one in (q, k, v))
    lr = rate.new_empty((b, g * h, n), dtype=torch.promote_types(rate.dtype, torch.float32))
    rho_kind = torch.promote_types(position.dtype, torch.float32)
    return q, k, v, lr, position.new_empty(position.shape, dtype=rho_kind)


@torch.library.custom_op("segttt::ttt_inputs_backward", mutates_args=())
def _ttt_inputs_backward(
    d_q: Tensor,
    d_k: Tensor,
    d_v: Tensor,
    d_lr: Tensor,
    d_rho: Tensor,
    lr: Tensor,
    rho: Tensor,
    scale: float,
    backwards: list[bool],
) -> list[Tensor]:
    """Gradients of q, k, v, rate, bias and position in the dtypes of those of what they gave."""
    grads = reference.Inputs(d_q, d_k, d_v, d_lr, d_rho)
    if backend.chosen(d_q, "ttt_inputs") == "triton":
        from segttt.kernels.ttt_inputs import triton_heads

        with torch.cuda.device_of(d_q):
            return list(triton_heads.backward(grads, lr, rho, scale, backwards))
    with torch.autocast(d_q.device.type, enabled=False):
        return list(reference.backward(grads, lr, rho, scale, backwards))


@_ttt_inputs_backward.register_fake
def _(
    d_q: Tensor,
    d_k: Tensor,
    d_v: Tensor,
    d_lr: Tensor,
    d_rho: Tensor,
    lr: Tensor,
    rho: Tensor,
    scale: float,
    backwards: list[bool],
) -> list[Tensor]:
    (b, heads, n, d), g = d_q.shape, len(backwards)
    h = heads // g
    wide = [one.new_empty((b, g, n, h * d)) for one in (d_q, d_k, d_v)]
    rate, bias = lr.new_empty((b, g, n, h)), lr.new_empty((g, h))
    return [*wide, rate, bias, rho.new_empty(rho.shape)]


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, ctx.scale, ctx.backwards = inputs
    ctx.save_for_backward(*output[3:])
    ctx.dtypes = [tensor.dtype for tensor in tensors]


def _backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
    found = _ttt_inputs_backward(*grads, *ctx.saved_tensors, ctx.scale, ctx.backwards)
    cast = (grad.to(dtype) for grad, dtype in zip(found, ctx.dtypes, strict=True))
    return *cast, None, None


_ttt_inputs.register_autograd(_backward, setup_context=_save)
