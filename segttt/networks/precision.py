"""Where precision must not be reduced, and what PyTorch gets wrong when it is."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

import torch
from jaxtyping import Float
from torch import Tensor

from segttt.errors import UsageError


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Autocast switched off; on the meta device, which knows no autocast, nothing to do."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


def refuse_thin_maps(x: Float[Tensor, "b c z y x"], strides: Iterable[int]) -> None:
    """Raise a `UsageError` where the gradients of a volume's network would be wrong.

    `strides` are the voxels along z per voxel of each feature map that a kernel of depth 3 is
    applied to, or gives. Where such a map has depth 2, oneDNN 3.12 (PyTorch 2.13) reads memory that
    nothing has written when it takes the bfloat16 gradient of the kernel.
    """
    if not (x.device.type == "cpu" and torch.is_grad_enabled()):
        return
    reduced = torch.is_autocast_enabled("cpu") or x.dtype == torch.bfloat16
    if reduced and any(x.shape[2] == 2 * stride for stride in strides):
        raise UsageError(
            f"Inputs of {list(x.shape[2:])} give feature maps of depth 2, whose gradients "
            "PyTorch gets wrong in bfloat16 on a CPU. Train with --set train.precision=fp32, "
            "or with a deeper patch."
        )
