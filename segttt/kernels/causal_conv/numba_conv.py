"""The causal convolution on the CPU in compiled loops, forward and backward.

Sums are float32; what is in half precision is widened as a whole. Runs of tokens are shared out
among as many threads as PyTorch uses. Every sum is taken in one order, so that equal calls give
equal bits, whatever the number of threads.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from segttt.kernels.causal_conv import numba_loops
from segttt.kernels.causal_conv.reference import Gradients
from segttt.kernels.threads import share


def forward(
    x: Float[Tensor, "b k n d"],
    weight: Float[Tensor, "g d r"],
    bias: Float[Tensor, "g d"],
    backwards: list[bool],
    silu: bool,
) -> Float[Tensor, "b g n d"]:
    """As `reference.forward`."""
    (b, _, n, d), g = x.shape, len(weight)
    given, steps = _given(x, weight, bias, backwards)
    out = torch.empty(b, g, n, d)
    rest = (np.array(backwards), silu, given, steps, out.numpy())
    share(b * g * _runs(n), lambda part: numba_loops.forward(part, *rest))
    return out.to(x.dtype)


def backward(
    d_out: Float[Tensor, "b g n d"],
    x: Float[Tensor, "b k n d"],
    weight: Float[Tensor, "g d r"],
    bias: Float[Tensor, "g d"],
    backwards: list[bool],
    silu: bool,
) -> Gradients:
    """As `reference.backward`."""
    (b, k, n, d), (g, _, r) = x.shape, weight.shape
    given, steps = _given(x, weight, bias, backwards)
    d_x, sums = torch.empty(b, k, n, d), torch.empty(b * k * _runs(n), g // k, r + 1, d)
    asked = d_out.detach().float().contiguous().numpy()
    rest = (np.array(backwards), silu, given, steps, asked, d_x.numpy(), sums.numpy())
    share(len(sums), lambda part: numba_loops.backward(part, *rest))
    total = sums.view(b, k, -1, g // k, r + 1, d).sum((0, 2)).flatten(0, 1)  # [g, r + 1, d]
    d_taps = _turned(total[:, :r], backwards).mT
    d_weight = d_taps.to(weight.dtype, memory_format=torch.contiguous_format, copy=True)
    return Gradients(d_x.to(x.dtype), d_weight, total[:, r].to(bias.dtype, copy=True))


def _given(
    x: Tensor, weight: Tensor, bias: Tensor, backwards: list[bool]
) -> tuple[tuple[np.ndarray, ...], tuple[int, int, int]]:
    """The arguments of the loops: x as it lies in memory, if channels lie side by side."""
    x = x.detach().float()
    x = x if x.stride(3) == 1 or x.shape[3] == 1 else x.contiguous()
    scans = x.stride(1) if x.shape[1] > 1 else 0  # 0 where all read the same
    steps = (x.stride(0), scans, x.stride(2))
    size = 1 + sum((many - 1) * step for many, step in zip(x.shape, x.stride(), strict=True))
    flat = x.as_strided((size,), (1,))
    taps = _turned(weight.detach().float().mT, backwards).contiguous()
    added = bias.detach().float().contiguous()
    return (flat.numpy(), taps.numpy(), added.numpy()), steps


def _turned(taps: Float[Tensor, "g r d"], backwards: list[bool]) -> Float[Tensor, "g r d"]:
    """Those of scans that read backwards in reverse."""
    return torch.stack(
        [one.flip(0) if back else one for one, back in zip(taps, backwards, strict=True)]
    )


def _runs(n: int) -> int:
    return -(-n // numba_loops.RUN)
