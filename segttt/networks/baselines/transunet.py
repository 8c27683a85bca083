"""TransUNet: a residual network, a vision transformer on it, and a decoder (arXiv 2102.04306)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from segttt.config.baselines import TransUNetSpec
from segttt.errors import UsageError
from segttt.networks.baselines.resnet_v2 import GROUPS, ResNetV2
from segttt.networks.layer_norm import LayerNorm

STRIDE = 16
NORM_EPS = 1e-6
COLOURS = 3  # a grey picture enters as three equal channels


class TransUNet(nn.Module):
    """R50-ViT-B/16 and its cascaded decoder, for pictures, from scratch.

    Inputs have the size of `patch`, whose edges are multiples of 16; others raise a `UsageError`,
    because each 16 x 16 pixels have a learned position. One input channel is repeated to three, any
    other number is taken as it is. There is one head. Source: arXiv 2102.04306; sizes, order and
    initialisation are those of the published code, which takes square pictures only.
    """

    def __init__(self, spec: TransUNetSpec, patch: tuple[int, ...], in_channels: int, classes: int):
        super().__init__()
        _check(spec, patch)
        self.deep_supervision: bool = True
        """Of no effect: there is one head."""
        self._patch = patch
        self.resnet = ResNetV2(COLOURS if in_channels == 1 else in_channels, spec.stem, spec.units)
        self.transformer = Transformer(spec, (patch[0] // STRIDE, patch[1] // STRIDE))
        self.merge = _conv_unit(spec.width, 2 * spec.decoder[0])
        skips = (8 * spec.stem, 4 * spec.stem, spec.stem, 0)
        entering = (2 * spec.decoder[0], *spec.decoder[:-1])
        self.decoder = nn.ModuleList(
            nn.Sequential(_conv_unit(below + skip, width), _conv_unit(width, width))
            for below, skip, width in zip(entering, skips, spec.decoder, strict=True)
        )
        self.head = nn.Conv2d(spec.decoder[-1], classes, 3, padding=1)

    def forward(self, x: Float[Tensor, "b c *grid"]) -> list[Float[Tensor, "b k *grid"]]:
        """The logits, at the resolution of the input."""
        if tuple(x.shape[2:]) != self._patch:
            raise UsageError(
                f"The input is {list(x.shape[2:])}, but this TransUNet was built for inputs of "
                f"{list(self._patch)}; cut the picture into windows of that size."
            )
        if x.shape[1] == 1:
            x = x.expand(-1, COLOURS, -1, -1)
        half, quarter, eighth, deepest = self.resnet(x)
        x = self.merge(self.transformer(deepest))
        for stage, skips in zip(self.decoder, ([eighth], [quarter], [half], []), strict=True):
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
            x = stage(torch.cat([x, *skips], 1))
        return [self.head(x)]


class Transformer(nn.Module):
    """Features become tokens with a learned position, pass the layers, and become features."""

    def __init__(self, spec: TransUNetSpec, grid: tuple[int, int]):
        super().__init__()
        self.embedding = nn.Conv2d(STRIDE * spec.stem, spec.width, 1)
        self.position = nn.Parameter(torch.zeros(grid[0] * grid[1], spec.width))
        self.dropout = nn.Dropout(spec.dropout)
        self.layers = nn.Sequential(*(Layer(spec) for _ in range(spec.layers)))
        self.norm = LayerNorm(spec.width, NORM_EPS)

    def forward(self, x: Float[Tensor, "b c_in y x"]) -> Float[Tensor, "b c y x"]:
        tokens = self.embedding(x).flatten(2).mT + self.position  # [b, n, c]
        tokens = self.norm(self.layers(self.dropout(tokens)))
        return tokens.mT.unflatten(2, x.shape[2:])


class Layer(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)). Source: ViT, arXiv 2010.11929."""

    def __init__(self, spec: TransUNetSpec):
        super().__init__()
        self.heads = spec.heads
        self.norm = LayerNorm(spec.width, NORM_EPS)
        self.qkv = nn.Linear(spec.width, 3 * spec.width)
        self.project = nn.Linear(spec.width, spec.width)
        self.mlp = _mlp(spec)

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        qkv = self.qkv(self.norm(x)).unflatten(-1, (3, self.heads, -1))  # [b, n, 3, h, d]
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + self.project(attended)
        return x + self.mlp(x)


def _mlp(spec: TransUNetSpec) -> nn.Sequential:
    up, down = nn.Linear(spec.width, spec.mlp_width), nn.Linear(spec.mlp_width, spec.width)
    for linear in (up, down):
        nn.init.xavier_uniform_(linear.weight)
        nn.init.normal_(linear.bias, std=1e-6)
    norm = LayerNorm(spec.width, NORM_EPS)
    return nn.Sequential(
        norm, up, nn.GELU(), nn.Dropout(spec.dropout), down, nn.Dropout(spec.dropout)
    )


def _conv_unit(c_in: int, c_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(c_out),
        nn.ReLU(inplace=True),
    )


def _check(spec: TransUNetSpec, patch: tuple[int, ...]) -> None:
    if len(patch) != 2 or any(size % STRIDE for size in patch):
        raise UsageError(
            f"The patch is {list(patch)}, but TransUNet needs two edges that are multiples of "
            f"{STRIDE}."
        )
    if spec.stem % GROUPS:
        raise UsageError(
            f"TransUNet's stem has {spec.stem} channels; make them a multiple of {GROUPS}, the "
            "groups of its norms."
        )
    if spec.width % spec.heads:
        raise UsageError(
            f"TransUNet's width {spec.width} must be a multiple of its {spec.heads} heads."
        )
