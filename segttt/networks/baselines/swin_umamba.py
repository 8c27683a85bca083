"""Swin-UMamba: an encoder of visual state-space blocks, with either of two decoders."""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segttt.config.baselines import SwinUMambaSpec
from segttt.networks import blocks
from segttt.networks.baselines.drop_path import drop_rates
from segttt.networks.baselines.unetr_blocks import ResBlock, UpBlock
from segttt.networks.baselines.visual_scan import (
    PatchExpanding,
    VSSEncoder,
    check_grid,
    vss_stage,
)
from segttt.networks.instance_norm import InstanceNorm

DECODER_BLOCKS = 2


class SwinUMamba(nn.Module):
    """Swin-UMamba for pictures whose edges are multiples of 32; its decoder is UNETR's.

    Heads at 1, 1/2, 1/4 and 1/8 of the resolution. Source: arXiv 2402.03302.
    """

    def __init__(
        self, spec: SwinUMambaSpec, patch: tuple[int, ...], in_channels: int, classes: int
    ):
        super().__init__()
        check_grid(patch)
        self.deep_supervision = True
        width = spec.features
        widths = [width // 2, *(width << stage for stage in range(len(spec.depths)))]
        self.stem = nn.Sequential(
            blocks.conv(in_channels, widths[0], (7, 7), (2, 2)), InstanceNorm(widths[0])
        )
        rates = drop_rates(0.0, spec.drop_path, spec.depths)
        self.encoder = VSSEncoder(widths[0], 2, width, spec.states, rates)
        self.skips = nn.ModuleList(
            ResBlock(2, c_in, c_out) for c_in, c_out in pairwise([in_channels, *widths])
        )
        self.ups = nn.ModuleList(
            UpBlock(2, c_in, c_out) for c_in, c_out in pairwise([widths[-1], *reversed(widths)])
        )
        self.final = ResBlock(2, widths[0], widths[0])
        self.heads = nn.ModuleList(blocks.pointwise(2, wide, classes) for wide in widths[:-1])

    def forward(self, x: Float[Tensor, "b c *grid"]) -> list[Float[Tensor, "b k *_"]]:
        """Logits, highest resolution first: of all heads, or of the first alone.

        A `UsageError` tells that the grid does not suit the network.
        """
        check_grid(tuple(x.shape[2:]))
        maps = [x, self.stem(x)]
        maps += [leaving.permute(0, 3, 1, 2) for leaving in self.encoder(maps[1])[1]]
        x = maps.pop()
        decoded = []
        for skip, up in zip(reversed(self.skips), self.ups, strict=True):
            x = up(x, skip(maps.pop()))
            decoded.append(x)
        decoded[-1] = self.final(x)
        heads = self.heads if self.deep_supervision else self.heads[:1]
        return [head(decoded.pop()) for head in heads]


class SwinUMambaD(nn.Module):
    """Swin-UMamba-D for pictures whose edges are multiples of 32; its decoder scans, too.

    Heads at 1, 1/4, 1/8 and 1/16 of the resolution. Source: arXiv 2402.03302.
    """

    def __init__(
        self, spec: SwinUMambaSpec, patch: tuple[int, ...], in_channels: int, classes: int
    ):
        super().__init__()
        check_grid(patch)
        self.deep_supervision = True
        width, states = spec.features, spec.states
        widths = [width << stage for stage in reversed(range(len(spec.depths) - 1))]
        down_rates = drop_rates(0.0, spec.drop_path, spec.depths)
        up_rates = drop_rates(spec.drop_path, 0.0, (DECODER_BLOCKS,) * len(widths))
        self.encoder = VSSEncoder(in_channels, 4, width, states, down_rates)
        self.expands = nn.ModuleList(PatchExpanding(2 * wide, wide, 2) for wide in widths)
        self.joins = nn.ModuleList(nn.Linear(2 * wide, wide) for wide in widths)
        self.decoder = nn.ModuleList(
            vss_stage(wide, states, rates) for wide, rates in zip(widths, up_rates, strict=True)
        )
        self.final = PatchExpanding(width, width, 4)
        self.heads = nn.ModuleList(
            blocks.pointwise(2, wide, classes) for wide in (width, *reversed(widths))
        )
        blocks.initialise(self)

    def forward(self, x: Float[Tensor, "b c *grid"]) -> list[Float[Tensor, "b k *_"]]:
        """Logits, highest resolution first: of all heads, or of the first alone.

        A `UsageError` tells that the grid does not suit the network.
        """
        check_grid(tuple(x.shape[2:]))
        skips = self.encoder(x)[1]
        x = skips.pop()
        decoded = []
        for expand, join, stage in zip(self.expands, self.joins, self.decoder, strict=True):
            x = stage(join(torch.cat([expand(x), skips.pop()], -1)))
            decoded.append(x)
        decoded.append(self.final(x))
        heads = self.heads if self.deep_supervision else self.heads[:1]
        return [head(decoded.pop().permute(0, 3, 1, 2)) for head in heads]
