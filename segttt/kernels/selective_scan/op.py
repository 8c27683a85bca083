"""The selective scan of Mamba, any number of scans with weights of their own at once."""

from collections.abc import Collection
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from segttt.errors import UsageError
from segttt.kernels import backend
from segttt.kernels.arguments import directions, require
from segttt.kernels.selective_scan import cpu, merge

Merge = Literal["none", "sum", "mean"]
MERGES = get_args(Merge)


def selective_scan(
    u: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    dt_bias: Tensor,
    *,
    backwards: Collection[bool] | None = None,
    merge: Merge = "none",
    z: Tensor | None = None,
) -> Tensor:
    """y_t = <C_t, h_t> + D u_t, where h_t = exp(delta_t A) h_{t-1} + delta_t u_t B_t.

    delta = softplus(dt + dt_bias). u, dt [b, g, n, d]: g scans of n tokens and d channels each;
    A [g, d, s] negative; B, C [b, g, n, s]; D, dt_bias [g, d]. Any n >= 1. Returns [b, g, n, d] in
    the dtype of u; the state is float32, or float64 where u is.

    A scan marked in `backwards` goes from the last token to the first; results lie at their tokens.
    "sum" and "mean" join the g scans to [b, n, d], which z [b, n, d] then gates by silu(z).
    Raises UsageError for another merge, a z without one, where shapes do not fit, and on a GPU
    beyond 128 states.
    Source: arXiv 2312.00752, equation 2 and algorithm 2; gate and merge, arXiv 2401.09417.
    """
    turned = directions(backwards, u.shape[1], "scans")
    if merge not in MERGES:
        raise UsageError(f"merge is {merge!r}; give one of {', '.join(MERGES)}")
    if z is not None and merge == "none":
        raise UsageError('a gate z needs the scans joined; pass merge="sum" or merge="mean"')
    if backend.scans_by_mamba(u):
        from segttt.kernels.selective_scan import mamba

        inputs = cpu.Inputs(u, dt, A, B, C, D, dt_bias)
        return mamba.selective_scan(inputs, turned, merge, z)  # pyright: ignore[reportCallIssue]
    return _selective_scan(u, dt, A, B, C, D, dt_bias, turned, merge, z)[0]


@torch.library.custom_op("segttt::selective_scan", mutates_args=())
def _selective_scan(
    u: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    dt_bias: Tensor,
    backwards: list[bool],
    how: str,
    z: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The output, what z gates (else nothing), and the states in which chunks are entered."""
    (b, g, n, d), s = u.shape, A.shape[-1]
    require(
        dt=(dt, u.shape), A=(A, (g, d, s)), B=(B, (b, g, n, s)), C=(C, (b, g, n, s)),
        D=(D, (g, d)), dt_bias=(dt_bias, (g, d)),
    )  # fmt: skip
    if z is not None:
        require(z=(z, (b, n, d)))
    inputs = cpu.Inputs(u, dt, A, B, C, D, dt_bias)
    chosen = backend.chosen(u, "selective_scan")
    if chosen == "triton":
        from segttt.kernels.selective_scan import triton_forward

        with torch.cuda.device_of(u):  # kernels start on the current device, not on that of u
            return triton_forward.forward(inputs, backwards, how, z)
    dtype = u.dtype if how == "none" else torch.promote_types(u.dtype, torch.float32)
    if chosen == "numba":
        from segttt.kernels.selective_scan import numba_scan

        y, starts = numba_scan.forward(inputs, backwards, dtype)
    else:
        with torch.autocast(u.device.type, enabled=False):
            y, starts = cpu.forward(inputs, backwards, dtype)
    return *merge.forward(y, how, z, u.dtype), starts


@_selective_scan.register_fake
def _(
    u: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    dt_bias: Tensor,
    backwards: list[bool],
    how: str,
    z: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    b, g, n, d = u.shape
    starts = (-(-n // cpu.CHUNK), b, g, A.shape[-1], d)
    state_dtype = torch.promote_types(u.dtype, torch.float32)
    return (
        u.new_empty(u.shape if how == "none" else (b, n, d)),
        u.new_empty((0,) if z is None else (b, n, d)),
        u.new_empty(starts, dtype=state_dtype),
    )


@torch.library.custom_op("segttt::selective_scan_backward", mutates_args=())
def _selective_scan_backward(
    d_out: Tensor,
    merged: Tensor,
    starts: Tensor,
    u: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    dt_bias: Tensor,
    backwards: list[bool],
    how: str,
    z: Tensor | None,
) -> list[Tensor]:
    """Gradients of u, dt, A, B, C, D, dt_bias and, if there is one, z, in their dtypes."""
    inputs = cpu.Inputs(u, dt, A, B, C, D, dt_bias)
    chosen = backend.chosen(u, "selective_scan")
    if chosen == "triton":
        from segttt.kernels.selective_scan import triton_backward

        with torch.cuda.device_of(u):
            grads, d_z = triton_backward.backward(d_out, merged, starts, inputs, backwards, how, z)
    else:
        with torch.autocast(u.device.type, enabled=False):
            d_y, d_z = merge.backward(d_out, merged, how, z, u.shape[1])
            if chosen == "numba":
                from segttt.kernels.selective_scan import numba_scan

                grads = numba_scan.backward(d_y, starts, inputs, backwards)
            else:
                grads = cpu.backward(d_y, starts, inputs, backwards)
    return [grad.contiguous() for grad in (*grads, d_z) if grad is not None]


@_selective_scan_backward.register_fake
def _(
    d_out: Tensor,
    merged: Tensor,
    starts: Tensor,
    u: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    dt_bias: Tensor,
    backwards: list[bool],
    how: str,
    z: Tensor | None,
) -> list[Tensor]:
    arguments = (u, dt, A, B, C, D, dt_bias, z)
    return [x.new_empty(x.shape) for x in arguments if x is not None]


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    *tensors, ctx.backwards, ctx.how, z = inputs
    ctx.save_for_backward(*output[1:], *tensors, z)
    ctx.set_materialize_grads(value=False)


def _backward(ctx: Any, d_out: Tensor | None, *_: Tensor | None) -> tuple[Tensor | None, ...]:
    if d_out is None:  # nothing depends on the output
        return (None,) * 10
    *tensors, z = ctx.saved_tensors
    grads = _selective_scan_backward(d_out, *tensors, ctx.backwards, ctx.how, z)
    return *grads[:7], None, None, grads[7] if z is not None else None


_selective_scan.register_autograd(_backward, setup_context=_save)
