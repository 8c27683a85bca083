"""Where precision must not be reduced, and what PyTorch gets wrong when it is."""

from contextlib import AbstractContextManager, nullcontext

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segttt.errors import UsageError


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Autocast switched off; on the meta device, which knows no autocast, nothing to do."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


def thin_maps(network: nn.Module, patch: tuple[int, ...]) -> bool:
    """Whether a patch gives the network feature maps whose bfloat16 gradients are wrong on a CPU.

    A network tells by `depth_strides`: voxels along z per voxel of each feature map that a kernel
    of depth 3 is applied to, or gives. Where such a map has depth 2, oneDNN 3.12 (PyTorch 2.13)
    reads memory that nothing has written when it takes the gradient of the kernel.
    """
    return any(patch[0] == 2 * stride for stride in getattr(network, "depth_strides", ()))


def refuse_thin_maps(network: nn.Module, x: Float[Tensor, "b c *grid"]) -> None:
    """Raise a `UsageError` where gradients would be wrong, see `thin_maps`."""
    if not (x.device.type == "cpu" and torch.is_grad_enabled()):
        return
    reduced = torch.is_autocast_enabled("cpu") or x.dtype == torch.bfloat16
    if reduced and thin_maps(network, tuple(x.shape[2:])):
        raise UsageError(
            f"Inputs of {list(x.shape[2:])} give feature maps of depth 2, whose gradients "
            "PyTorch gets wrong in bfloat16 on a CPU. Train with --set train.precision=fp32, "
            "or with a deeper patch."
        )
