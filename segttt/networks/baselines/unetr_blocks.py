"""The convolution blocks of UNETR, which several later networks share."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from segttt.networks.blocks import CONV, transposed_up
from segttt.networks.instance_norm import SLOPE, instance_norm


class ResBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, which is a 1x1 convolution where the widths differ.

    The norms have no weights and the convolutions no biases. Source: MONAI, `UnetResBlock`.
    """

    def __init__(self, rank: int, c_in: int, c_out: int):
        super().__init__()
        conv = CONV[rank]
        self.first = conv(c_in, c_out, 3, padding=1, bias=False)
        self.second = conv(c_out, c_out, 3, padding=1, bias=False)
        self.shortcut = conv(c_in, c_out, 1, bias=False) if c_in != c_out else None

    def forward(self, x: Float[Tensor, "b c_in *grid"]) -> Float[Tensor, "b c_out *grid"]:
        inner = instance_norm(self.first(x), slope=SLOPE)
        inner = instance_norm(self.second(inner))
        outer = x if self.shortcut is None else instance_norm(self.shortcut(x))
        return F.leaky_relu(inner + outer, SLOPE)


class UpBlock(nn.Module):
    """Double the resolution, join the skip, and a `ResBlock`. Source: MONAI, `UnetrUpBlock`."""

    def __init__(self, rank: int, c_in: int, c_out: int):
        super().__init__()
        self.up = transposed_up(c_in, c_out, (2,) * rank, bias=False)
        self.merge = ResBlock(rank, 2 * c_out, c_out)

    def forward(
        self, x: Float[Tensor, "b c_in *small"], skip: Float[Tensor, "b c_out *grid"]
    ) -> Float[Tensor, "b c_out *grid"]:
        return self.merge(torch.cat([self.up(x), skip], 1))
