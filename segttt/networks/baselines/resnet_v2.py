"""The residual network of weight-standardised convolutions that feeds TransUNet."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

GROUPS = 32
WEIGHT_EPS = 1e-5
NORM_EPS = 1e-6


class ResNetV2(nn.Module):
    """ResNet-50 without its last stage, with group norm: features at 1/2, 1/4, 1/8 and 1/16.

    They have `stem`, 4, 8 and 16 times `stem` channels, a multiple of 32. Both edges of the input
    are multiples of 16. The order is convolution, norm, activation, in spite of the name. Source:
    Big Transfer, arXiv 1912.11370, as TransUNet (arXiv 2102.04306) shortens it.
    """

    def __init__(self, in_channels: int, stem: int, units: tuple[int, ...]):
        super().__init__()
        self.root = nn.Sequential(
            StandardisedConv(in_channels, stem, 7, 2), _norm(stem), nn.ReLU(inplace=True)
        )
        self.pool = nn.MaxPool2d(3, 2)
        self.stages = nn.ModuleList()
        entering = stem
        for stage, count in enumerate(units):
            leaving = 4 * stem * 2**stage
            blocks = [Bottleneck(entering, leaving, 2 if stage else 1)]
            blocks += [Bottleneck(leaving, leaving, 1) for _ in range(count - 1)]
            self.stages.append(nn.Sequential(*blocks))
            entering = leaving

    def forward(self, x: Float[Tensor, "b c y x"]) -> list[Float[Tensor, "b _ _ _"]]:
        """Features, highest resolution first.

        The pooling is not padded, so the features at 1/4 lack a row and a column; zeros fill them
        up, for the decoder alone.
        """
        half = self.root(x)
        quarter, eighth, sixteenth = self.stages
        at_quarter = quarter(self.pool(half))
        at_eighth = eighth(at_quarter)
        return [half, F.pad(at_quarter, (0, 1, 0, 1)), at_eighth, sixteenth(at_eighth)]


class Bottleneck(nn.Module):
    """Convolutions of 1, 3 and 1 around a quarter of the channels, and a shortcut.

    The shortcut is projected where channels or grid change, with a norm per channel.
    """

    def __init__(self, c_in: int, c_out: int, stride: int):
        super().__init__()
        c_mid = c_out // 4
        self.branch = nn.Sequential(
            StandardisedConv(c_in, c_mid, 1),
            _norm(c_mid),
            nn.ReLU(inplace=True),
            StandardisedConv(c_mid, c_mid, 3, stride),
            _norm(c_mid),
            nn.ReLU(inplace=True),
            StandardisedConv(c_mid, c_out, 1),
            _norm(c_out),
        )
        self.shortcut = nn.Identity()
        if stride != 1 or c_in != c_out:
            self.shortcut = nn.Sequential(
                StandardisedConv(c_in, c_out, 1, stride), nn.GroupNorm(c_out, c_out)
            )

    def forward(self, x: Float[Tensor, "b c_in y x"]) -> Float[Tensor, "b c_out _ _"]:
        return F.relu(self.branch(x) + self.shortcut(x))


class StandardisedConv(nn.Module):
    """A padded convolution whose filters are brought to mean 0 and variance 1 at every use.

    Source: weight standardisation, arXiv 1903.10520.
    """

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1):
        super().__init__()
        self.stride = stride
        self.weight = nn.Parameter(torch.empty(c_out, c_in, kernel, kernel))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))

    def forward(self, x: Float[Tensor, "b c_in y x"]) -> Float[Tensor, "b c_out _ _"]:
        padding = self.weight.shape[-1] // 2
        return F.conv2d(x, standardise(self.weight), stride=self.stride, padding=padding)


def standardise(weight: Float[Tensor, "c_out c_in y x"]) -> Float[Tensor, "c_out c_in y x"]:
    """Each filter less its mean, over the root of its variance + 1e-5."""
    variance, mean = torch.var_mean(weight, (1, 2, 3), correction=0, keepdim=True)
    return (weight - mean) * (variance + WEIGHT_EPS).rsqrt()


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(GROUPS, channels, NORM_EPS)
