"""Operations of the operators, for PyTorch's counter; apart, as that is slow to import.

`FlopCounterMode(custom_mapping=FORMULAS)`. A multiplication and an addition are two operations.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Size

# Importing them defines the operators.
import segttt.kernels.causal_conv.op
import segttt.kernels.selective_scan.op
import segttt.kernels.ttt_linear.op
import segttt.kernels.ttt_mlp.op  # noqa: F401


def _scan(u: Size, dt: Size, A: Size, *_: Any, **__: Any) -> int:
    """Nine operations per token, channel and state, of which the exponential is three."""
    b, g, n, d = u
    return 9 * b * g * n * d * A[-1]


def _scan_backward(
    d_out: Size, merged: Size, starts: Size, u: Size, dt: Size, A: Size, *_: Any, **__: Any
) -> int:
    """The step of the forward pass anew, seven, and its gradients, fifteen."""
    b, g, n, d = u
    return 22 * b * g * n * d * A[-1]


def _conv(x: Size, weight: Size, *_: Any, **__: Any) -> int:
    """A product and a sum per tap; the activation, as every pass over memory, is left out."""
    g, d, reach = weight
    return 2 * reach * x[0] * g * x[2] * d


def _conv_backward(
    d_out: Size, x: Size, weight: Size, bias: Size, backwards: Any, silu: bool, **_: Any
) -> int:
    """For the gradients of tokens and of taps; behind an activation, the forward pass anew."""
    return (3 if silu else 2) * _conv(x, weight)


def _linear(q: Size, k: Size, v: Size, lr: Size, rho: Size, *others: Any, **_: Any) -> int:
    """The products of `reference.forward`."""
    b, h, n, d = q
    seen = min(n, rho[0]) if others[5] else 0
    return b * h * n * (6 * d * d + 4 * seen * d)


def _linear_backward(d_out: Size, states: Size, q: Size, *others: Any, **_: Any) -> int:
    """The products of `reference.backward`, which forms those of the forward pass anew."""
    rho, causal = others[3], others[9]
    b, h, n, d = q
    seen = min(n, rho[0]) if causal else 0
    return b * h * n * (18 * d * d + 12 * seen * d)


def _mlp(q: Size, k: Size, v: Size, lr: Size, rho: Size, W1: Size, *others: Any, **_: Any) -> int:
    """The products of `reference.forward`."""
    (b, h, n, d), wide, causal = q, W1[2], others[6]
    seen = min(n, rho[0]) if causal else 0
    return b * h * n * (14 * d * wide + 4 * seen * (d + wide))


def _mlp_backward(
    d_out: Size, first: Size, second: Size, q: Size, k: Size, v: Size, *others: Any, **_: Any
) -> int:
    """The products of `reference.backward`, which forms those of the forward pass anew."""
    rho, W1, causal = others[1], others[2], others[9]
    (b, h, n, d), wide = q, W1[2]
    seen = min(n, rho[0]) if causal else 0
    return b * h * n * (38 * d * wide + 12 * seen * (d + wide))


FORMULAS: dict[Any, Callable[..., int]] = {
    torch.ops.segttt.causal_conv: _conv,
    torch.ops.segttt.causal_conv_backward: _conv_backward,
    torch.ops.segttt.selective_scan: _scan,
    torch.ops.segttt.selective_scan_backward: _scan_backward,
    torch.ops.segttt.ttt_linear: _linear,
    torch.ops.segttt.ttt_linear_backward: _linear_backward,
    torch.ops.segttt.ttt_mlp: _mlp,
    torch.ops.segttt.ttt_mlp_backward: _mlp_backward,
}
"""By operator."""
