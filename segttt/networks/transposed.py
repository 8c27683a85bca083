"""Transposed convolutions whose kernel is their stride."""

from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

CONVOLVE = {2: F.conv_transpose2d, 3: F.conv_transpose3d}


class TransposedConv2d(nn.ConvTranspose2d):
    """Of pictures; each pixel becomes a block of `stride` pixels."""

    def __init__(self, c_in: int, c_out: int, stride: tuple[int, ...], *, bias: bool = True):
        super().__init__(c_in, c_out, stride, stride, bias=bias)  # pyright: ignore

    def forward(self, x: Float[Tensor, "b c_in y x"]) -> Tensor:  # pyright: ignore
        """[b, c_out, ..], each edge `stride` times as long."""
        return _enlarged(self, x)


class TransposedConv3d(nn.ConvTranspose3d):
    """Of volumes; each voxel becomes a block of `stride` voxels."""

    def __init__(self, c_in: int, c_out: int, stride: tuple[int, ...], *, bias: bool = True):
        super().__init__(c_in, c_out, stride, stride, bias=bias)  # pyright: ignore

    def forward(self, x: Float[Tensor, "b c_in z y x"]) -> Tensor:  # pyright: ignore
        """[b, c_out, ..], each edge `stride` times as long."""
        return _enlarged(self, x)


def _enlarged(layer: nn.ConvTranspose2d | nn.ConvTranspose3d, x: Tensor) -> Tensor:
    weight = layer.weight
    if x.device.type == "cpu" and not torch.compiler.is_compiling():
        return _ByProducts.apply(x, weight, layer.bias)  # pyright: ignore[reportReturnType]
    return CONVOLVE[x.ndim - 2](x, weight, layer.bias, layer.stride)


class _ByProducts(torch.autograd.Function):
    """Blocks do not overlap, so both gradients are one matrix product over all voxels.

    PyTorch's backward pass takes two to three times as long (7 x 64 x 20 x 28 x 20 to 32 channels,
    two cores: 105 and 73 ms in float32, 57 and 34 in bfloat16).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None):
        cast = torch.is_autocast_enabled("cpu")
        x = x.to(torch.get_autocast_dtype("cpu")) if cast and x.dtype != torch.float64 else x
        ctx.save_for_backward(x, weight)
        ctx.biased = bias is not None
        stride = weight.shape[2:]
        added = None if bias is None else bias.to(x.dtype)
        return CONVOLVE[len(stride)](x, weight.to(x.dtype), added, stride)

    @staticmethod
    def backward(ctx: Any, d_out: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight = ctx.saved_tensors
        c_in, c_out, *stride = weight.shape
        blocks = _blocks(d_out, stride)
        voxels = x.movedim(1, -1)
        maps = weight.movedim(1, -1).reshape(c_in, -1).to(x.dtype)
        dx = (blocks @ maps.T).view(voxels.shape).movedim(-1, 1)
        d_maps = voxels.reshape(-1, c_in).T @ blocks
        d_weight = d_maps.view(c_in, *stride, c_out).movedim(-1, 1).to(weight.dtype)
        if not ctx.biased:
            return dx, d_weight, None
        return dx, d_weight, blocks.sum(0, dtype=weight.dtype).view(-1, c_out).sum(0)


def _blocks(x: Tensor, stride: list[int]) -> Float[Tensor, "voxels block_and_channels"]:
    """One row per block of an enlarged map, the channels of each of its voxels side by side."""
    rank = len(stride)
    b, c, *edges = x.shape
    cut = [size for edge, step in zip(edges, stride, strict=True) for size in (edge // step, step)]
    voxels = x.movedim(1, -1).reshape(b, *cut, c)
    order = (0, *range(1, 2 * rank, 2), *range(2, 2 * rank + 1, 2), 2 * rank + 1)
    return voxels.permute(order).reshape(-1, prod(stride) * c)
