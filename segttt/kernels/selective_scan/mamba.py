"""The selective scan by the CUDA kernels of mamba-ssm, which are not of this package.

They take channels before tokens, groups of channels with an entrance and an exit of their own, and
one direction. So scans become groups, backward scans are turned around before and after, and what
joins several scans comes behind. Autograd goes back through mamba-ssm's own function, which keeps
what it likes.
"""

from collections.abc import Callable
from importlib import import_module

import torch
from torch import Tensor

from segttt.kernels.backend import require_mamba
from segttt.kernels.chunks import turn
from segttt.kernels.selective_scan import merge
from segttt.kernels.selective_scan.cpu import Inputs


@torch.compiler.disable
def selective_scan(inputs: Inputs, backwards: list[bool], how: str, z: Tensor | None) -> Tensor:
    """As the operator of that name, with the state in float32 whatever the dtype of u.

    The gate of a single scan is mamba-ssm's own. A compiled graph ends before and resumes after.
    Raises MissingDependencyError where mamba-ssm or its CUDA scan is missing.
    """
    u, dt, A, B, C, D, bias = inputs
    scans, d = u.shape[1], u.shape[3]
    gate = None
    if z is not None and scans == 1:
        gate = turn(z[:, None].to(u.dtype), backwards).squeeze(1).mT
    y = _mamba()(
        turn(u, backwards).mT.flatten(1, 2),
        turn(dt.to(u.dtype), backwards).mT.flatten(1, 2),
        A.flatten(0, 1).float(),
        turn(B.to(u.dtype), backwards).mT,
        turn(C.to(u.dtype), backwards).mT,
        D.flatten().float(),
        z=gate,
        delta_bias=bias.flatten().float(),
        delta_softplus=True,
    )
    y = turn(y.unflatten(1, (scans, d)).mT, backwards).float()
    return merge.forward(y, how, z if gate is None else None, u.dtype)[0]


def _mamba() -> Callable[..., Tensor]:
    """u, dt [b, g d, n], A [g d, s], B, C [b, g, s, n], D, delta_bias [g d], z like u."""
    require_mamba()
    return import_module("mamba_ssm.ops.selective_scan_interface").selective_scan_fn
