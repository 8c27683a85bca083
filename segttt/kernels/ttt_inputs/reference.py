"""What the TTT operators read, in plain PyTorch: what the GPU kernels have to give.

The gradients are written out. A pair of channels is a complex number, so that turning it is one
product, which PyTorch has compiled for CPUs.
"""

from typing import NamedTuple

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from segttt.kernels.ttt_inputs.rotary import phases


class Inputs(NamedTuple):
    """Of the operators `ttt_linear` and `ttt_mlp`."""

    q: Float[Tensor, "b gh n d"]
    k: Float[Tensor, "b gh n d"]
    v: Float[Tensor, "b gh n d"]
    lr: Float[Tensor, "b gh n"]
    rho: Float[Tensor, " t"]


class Gradients(NamedTuple):
    """Of the arguments of `forward`."""

    q: Float[Tensor, "b g n w"]
    k: Float[Tensor, "b g n w"]
    v: Float[Tensor, "b g n w"]
    rate: Float[Tensor, "b g n h"]
    bias: Float[Tensor, "g h"]
    position: Float[Tensor, " t"]


def forward(
    q: Float[Tensor, "b g n w"],
    k: Float[Tensor, "b g n w"],
    v: Float[Tensor, "b g n w"],
    rate: Float[Tensor, "b g n h"],
    bias: Float[Tensor, "g h"],
    position: Float[Tensor, " t"],
    scale: float,
    backwards: list[bool],
) -> Inputs:
    """See `op.ttt_inputs`."""
    heads, t = rate.shape[-1], len(position)
    q, k, v = (one.unflatten(3, (heads, -1)).transpose(2, 3) for one in (q, k, v))
    turn = _phases(q, t, backwards)[:, None]
    lr = scale * torch.sigmoid(_wide(rate) + bias[:, None])
    position = _wide(position)
    count = torch.arange(1, t + 1, dtype=position.dtype, device=position.device)
    return Inputs(
        _turned(q, turn).flatten(1, 2),
        _turned(k, turn).flatten(1, 2),
        v.clone(memory_format=torch.contiguous_format).flatten(1, 2),
        lr.transpose(2, 3).flatten(1, 2).contiguous(),
        torch.relu(1 / count + position),
    )


def backward(
    grads: Inputs,
    lr: Float[Tensor, "b gh n"],
    rho: Float[Tensor, " t"],
    scale: float,
    backwards: list[bool],
) -> Gradients:
    """Gradients of the arguments of `forward` from those of its results, and two of these."""
    scans = len(backwards)
    # A conjugate that is only marked as one is taken for the number itself in compiled graphs.
    turn = _phases(grads.q, len(rho), backwards).conj_physical()[:, :, None]
    d_q, d_k, d_v = (one.unflatten(1, (scans, -1)).transpose(2, 3) for one in grads[:3])
    d_rate = grads.lr * lr * (1 - lr * inverse(scale))
    d_rate = d_rate.unflatten(1, (scans, -1)).transpose(2, 3).contiguous()
    return Gradients(
        _turned(d_q, turn).flatten(3),
        _turned(d_k, turn).flatten(3),
        d_v.clone(memory_format=torch.contiguous_format).flatten(3),
        d_rate,
        d_rate.sum((0, 2)),
        torch.where(rho > 0, grads.rho, 0),
    )


def inverse(scale: float) -> float:
    """1 / scale; zero where lr, which is a share of it, is too small for float32 to tell from it.

    There 1 / scale could be infinite in float32, and its product with a rate of zero no number.
    """
    return 1 / scale if scale >= torch.finfo(torch.float32).tiny else 0.0


def _wide(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _phases(
    x: Float[Tensor, "*rest n d"], t: int, backwards: list[bool]
) -> Complex[Tensor, "g n pairs"]:
    """What turns the tokens of each scan; g is 1 where all read from the first token on."""
    n, d = x.shape[-2:]
    there = torch.arange(n, device=x.device)
    ways = [n - 1 - there if one else there for one in backwards] if any(backwards) else [there]
    kind = torch.promote_types(x.dtype, torch.complex64)
    return phases(t, d, kind, x.device)[torch.stack(ways) % t]


def _turned(x: Float[Tensor, "*rest d"], turn: Complex[Tensor, "..."]) -> Float[Tensor, "*rest d"]:
    """A copy of `x`, one number after the other in memory, whose pairs of channels are turned."""
    wide = torch.promote_types(x.dtype, torch.float32)
    copy = x.to(wide, copy=True, memory_format=torch.contiguous_format)
    torch.view_as_complex(copy.unflatten(-1, (-1, 2))).mul_(turn)
    return copy.to(x.dtype)
