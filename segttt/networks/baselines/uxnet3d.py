"""3D UX-Net: large depthwise kernels in place of window attention (arXiv 2209.15076)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from segttt.config.baselines import UXNet3DSpec
from segttt.errors import UsageError
from segttt.networks.baselines.unetr_blocks import ResBlock, UpBlock
from segttt.networks.blocks import ChannelNorm, pointwise
from segttt.networks.precision import refuse_thin_maps

RANK = 3
STRIDES = (1, 2, 4, 8, 16)
NORM_EPS = 1e-6
LAYER_SCALE = 1e-6
WIDENING = 4


class UXNet3D(nn.Module):
    """Four stages of depthwise blocks, a residual block on each, and the decoder of UNETR.

    Edges of the input are multiples of 16, one of them a larger one; others raise a `UsageError`.
    There is one head. Source: arXiv 2209.15076; sizes and order are
    those of the published code with its first kernel, 7, and grouped 1x1 convolutions.
    """

    def __init__(self, spec: UXNet3DSpec, patch: tuple[int, ...], in_channels: int, classes: int):
        super().__init__()
        self.deep_supervision: bool = True
        """Of no effect: there is one head."""
        self.depth_strides = STRIDES
        _check(patch)
        widths = [spec.features * 2**stage for stage in range(len(STRIDES))]
        self.stem = nn.Conv3d(in_channels, widths[0], 7, 2, padding=3)
        self.stem_norm = ChannelNorm(widths[0], NORM_EPS)
        self.down = nn.ModuleList(_down(width) for width in widths[:-2])
        self.stages = nn.ModuleList(
            nn.Sequential(*(UXBlock(width) for _ in range(depth)))
            for width, depth in zip(widths[:-1], spec.depths, strict=True)
        )
        self.norms = nn.ModuleList(ChannelNorm(width, NORM_EPS) for width in widths[:-1])
        entering = (in_channels, *widths[:-1])
        self.encoder = nn.ModuleList(
            ResBlock(RANK, below, width) for below, width in zip(entering, widths, strict=True)
        )
        self.decoder = nn.ModuleList(
            UpBlock(RANK, 2 * width, width) for width in reversed(widths[:-1])
        )
        self.last = ResBlock(RANK, widths[0], widths[0])
        self.head = pointwise(RANK, widths[0], classes)

    def forward(self, x: Float[Tensor, "b c *grid"]) -> list[Float[Tensor, "b k *grid"]]:
        """The logits, at the resolution of the input."""
        _check(tuple(x.shape[2:]))
        refuse_thin_maps(self, x)
        skips = [self.encoder[0](x)]
        x = self.stem_norm(self.stem(x))
        for index, stage in enumerate(self.stages):
            x = stage(self.down[index - 1](x) if index else x)
            skips.append(self.encoder[index + 1](self.norms[index](x)))
        x = skips.pop()
        for up in self.decoder:
            x = up(x, skips.pop())
        return [self.head(self.last(x))]


class UXBlock(nn.Module):
    """x + gamma * MLP(norm(depthwise convolution of x)), an MLP for each channel by itself.

    On a CPU the depthwise convolution works in float32: oneDNN 3.12 (PyTorch 2.13) gets the
    bfloat16 gradient of its kernel wrong in channels-last maps with an edge shorter than it.
    """

    def __init__(self, width: int):
        super().__init__()
        self.depthwise = nn.Conv3d(width, width, 7, padding=3, groups=width)
        self.norm = ChannelNorm(width, NORM_EPS)
        self.widen = nn.Conv3d(width, WIDENING * width, 1, groups=width)
        self.narrow = nn.Conv3d(WIDENING * width, width, 1, groups=width)
        self.gamma = nn.Parameter(torch.full((width,), LAYER_SCALE))

    def forward(self, x: Float[Tensor, "b c z y x"]) -> Float[Tensor, "b c z y x"]:
        inner = self.narrow(F.gelu(self.widen(self.norm(self._depthwise(x)))))
        return x + self.gamma[:, None, None, None] * inner

    def _depthwise(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return self.depthwise(x)
        with torch.autocast("cpu", enabled=False):
            return self.depthwise(x.to(self.depthwise.weight.dtype))


def _down(width: int) -> nn.Sequential:
    return nn.Sequential(ChannelNorm(width, NORM_EPS), nn.Conv3d(width, 2 * width, 2, 2))


def _check(grid: tuple[int, ...]) -> None:
    deepest = STRIDES[-1]
    wrong = len(grid) != RANK or any(size % deepest for size in grid)
    if wrong or set(grid) == {deepest}:
        raise UsageError(
            f"The input is {list(grid)}, but 3D UX-Net needs three edges that are multiples of "
            f"{deepest}, one of them a larger one."
        )
