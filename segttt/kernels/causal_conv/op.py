"""The causal depthwise convolution of sequences and its activation, in one pass over memory."""

import warnings
from collections.abc import Collection
from typing import Any, Literal

import torch
from torch import Tensor

from segttt.kernels import backend
from segttt.kernels.arguments import directions, require
from segttt.kernels.causal_conv import reference

Activation = Literal["none", "silu"]

MOST = 8
"""Taps of the GPU kernels, which keep as many rows in registers; with 8 they take 231 of 255."""


def causal_conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    backwards: Collection[bool] | None = None,
    activation: Activation = "none",
) -> Tensor:
    """y_t = act(bias + sum_r weight_r x_{t+r-reach+1}), r = 0, ..., reach - 1, channel by channel.

    x [b, g, n, d], g scans of n tokens, or [b, 1, n, d] where all of them read the same; any n >= 1
    and any strides; beyond its ends x is zero. weight [g, d, reach], that of the token itself last;
    bias [g, d]. A scan marked in `backwards` goes from the last token to the first; results lie at
    their tokens. Returns [b, g, n, d], contiguous and in the dtype of x; sums are float32, or
    float64 where x is. On a GPU plain PyTorch runs, with a warning, where there are more than 8
    taps. Raises UsageError where shapes do not fit.
    Source: arXiv 2312.00752, section 3.4.
    """
    scans = len(weight)
    turned = directions(backwards, scans, "scans")
    return _causal_conv(x, weight, bias, turned, activation == "silu")


@torch.library.custom_op("segttt::causal_conv", mutates_args=())
def _causal_conv(
    x: Tensor, weight: Tensor, bias: Tensor, backwards: list[bool], silu: bool
) -> Tensor:
    (b, kinds, n, d), (g, _, reach) = x.shape, weight.shape
    read = 1 if kinds == 1 else g
    require(x=(x, (b, read, n, d)), weight=(weight, (g, d, reach)), bias=(bias, (g, d)))
    given = (x, weight, bias, backwards, silu)
    chosen = _chosen(x, weight)
    if chosen == "triton":
        from segttt.kernels.causal_conv import triton_forward

        with torch.cuda.device_of(x):  # kernels start on the current device, not on that of x
            return triton_forward.forward(*given)
    if chosen == "numba":
        from segttt.kernels.causal_conv import numba_conv

        return numba_conv.forward(*given)
    with torch.autocast(x.device.type, enabled=False):
        return reference.forward(*given)


@_causal_conv.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor, backwards: list[bool], silu: bool) -> Tensor:
    return x.new_empty((x.shape[0], weight.shape[0], *x.shape[2:]))


@torch.library.custom_op("segttt::causal_conv_backward", mutates_args=())
def _causal_conv_backward(
    d_out: Tensor, x: Tensor, weight: Tensor, bias: Tensor, backwards: list[bool], silu: bool
) -> list[Tensor]:
    """Gradients of x, weight and bias in their dtypes."""
    given = (d_out, x, weight, bias, backwards, silu)
    chosen = _chosen(x, weight)
    if chosen == "triton":
        from segttt.kernels.causal_conv import triton_backward

        with torch.cuda.device_of(x):
            return list(triton_backward.backward(*given))
    if chosen == "numba":
        from segttt.kernels.causal_conv import numba_conv

        return list(numba_conv.backward(*given))
    with torch.autocast(x.device.type, enabled=False):
        return list(reference.backward(*given))


@_causal_conv_backward.register_fake
def _(
    d_out: Tensor, x: Tensor, weight: Tensor, bias: Tensor, backwards: list[bool], silu: bool
) -> list[Tensor]:
    return [one.new_empty(one.shape) for one in (x, weight, bias)]


def _chosen(x: Tensor, weight: Tensor) -> backend.Name:
    """What runs these; warns where a GPU kernel would but for their taps."""
    name, reach = backend.chosen(x, "causal_conv"), weight.shape[2]
    if name != "triton" or reach <= MOST:
        return name
    why = f"the kernels have up to {MOST} taps, not {reach}"
    warnings.warn(f"causal_conv runs as plain PyTorch: {why}", stacklevel=2)
    return "reference"


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.backwards, ctx.silu = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx: Any, d_out: Tensor) -> tuple[Tensor | None, ...]:
    grads = _causal_conv_backward(d_out, *ctx.saved_tensors, ctx.backwards, ctx.silu)
    return *grads, None, None


_causal_conv.register_autograd(_backward, setup_context=_save)
