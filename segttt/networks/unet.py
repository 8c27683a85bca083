"""The one U-Net, for pictures and volumes: blocks, mixers and skips as its spec says."""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segttt.config.network import NetworkSpec, Topology
from segttt.errors import UsageError
from segttt.networks import blocks, layout
from segttt.networks.ttt import Mixer

STAGE = {
    "conv": blocks.conv_stage,
    "residual": blocks.residual_stage,
    "resenc": blocks.resenc_stage,
}


class UNet(nn.Module):
    """An encoder with mixers, a decoder, and a head at every resolution of the decoder.

    All heads are always built, so that weights load with deep supervision on or off.
    """

    def __init__(
        self,
        spec: NetworkSpec,
        topology: Topology,
        in_channels: int,
        classes: int,
        deep_supervision: bool = True,
    ):
        super().__init__()
        self.deep_supervision = deep_supervision
        """Whether `forward` returns the logits of every head."""
        sites = layout.mixer_sites(spec, topology)
        fixed = any(site.order == "channels" for site in sites.values())
        self._patch = topology.patch if fixed else None
        self._multiple = topology.total_stride
        self._depth_strides = {
            topology.stage_stride(stage)[0]
            for stage in range(topology.stages)
            if topology.rank == 3 and topology.kernels[stage][0] > 1
        }

        features = topology.features
        counts = layout.encoder_blocks(spec, topology)
        self.stem = _stem(spec, topology, in_channels, counts[0])
        entering = (in_channels if spec.stem == "none" else features[0], *features[:-1])
        self.encoder = nn.ModuleList(
            STAGE[spec.encoder](*parts)
            for parts in zip(
                entering, features, topology.kernels, topology.strides, counts, strict=True
            )
        )
        self.mixers = nn.ModuleDict({str(site.stage): Mixer(site, spec) for site in sites.values()})
        self.decoder = _decoder(spec, topology)
        self.heads = nn.ModuleList(
            blocks.pointwise(topology.rank, width, classes) for width in features[-2::-1]
        )
        blocks.initialise(self)

    def forward(self, x: Float[Tensor, "b c *grid"]) -> list[Float[Tensor, "b k *_"]]:
        """Logits, highest resolution first: of all heads, or of the first alone.

        A `UsageError` tells that the grid does not suit the network.
        """
        self._check_grid(tuple(x.shape[2:]))
        self._check_precision(x)
        x = self.stem(x)
        skips = []
        for index, stage in enumerate(self.encoder):
            x = stage(x)
            if str(index) in self.mixers:
                x = self.mixers[str(index)](x)
            skips.append(x)
        skips.pop()
        outs = []
        for stage, head in zip(self.decoder, self.heads, strict=True):
            x = stage(x, skips.pop())
            if self.deep_supervision or not skips:
                outs.append(head(x))
        return outs[::-1]

    def _check_grid(self, grid: tuple[int, ...]) -> None:
        if self._patch is not None and grid != self._patch:
            raise UsageError(
                f"The input is {list(grid)}, but channel tokens tie this network to inputs of "
                f"{list(self._patch)}. Train with --set network.channel_tokens=false to lift this."
            )
        steps = zip(grid, self._multiple, strict=True)
        if any(size % step for size, step in steps) or grid == self._multiple:
            raise UsageError(
                f"The input is {list(grid)}, but each edge must be a multiple of "
                f"{list(self._multiple)}, and one of them a larger one."
            )

    def _check_precision(self, x: Tensor) -> None:
        """Refuse what oneDNN 3.12 (PyTorch 2.13) gets wrong without a word.

        On a feature map of depth 2, its bfloat16 gradient of a kernel of depth 3 reads memory that
        nothing has written. Every other small size that a U-Net can have was tried, and was right.
        """
        if not (x.device.type == "cpu" and torch.is_grad_enabled()):
            return
        reduced = torch.is_autocast_enabled("cpu") or x.dtype == torch.bfloat16
        if reduced and any(x.shape[2] == 2 * stride for stride in self._depth_strides):
            raise UsageError(
                f"Inputs of {list(x.shape[2:])} give feature maps of depth 2, whose gradients "
                "PyTorch gets wrong in bfloat16 on a CPU. Train with --set train.precision=fp32, "
                "or with a deeper patch."
            )


class DecoderStage(nn.Module):
    """Bring features to the resolution of a skip, join the two, and convolve."""

    def __init__(self, up: nn.Module, merge: nn.Module, with_skip: bool):
        super().__init__()
        self.up, self.merge, self.with_skip = up, merge, with_skip

    def forward(
        self, x: Float[Tensor, "b c_deep *small"], skip: Float[Tensor, "b c *grid"]
    ) -> Float[Tensor, "b c *grid"]:
        x = self.up(x)
        return self.merge(torch.cat([x, skip], 1) if self.with_skip else x)


def _stem(spec: NetworkSpec, topology: Topology, in_channels: int, count: int) -> nn.Module:
    width, kernel = topology.features[0], topology.kernels[0]
    match spec.stem:
        case "none":
            return nn.Identity()
        case "conv":
            return blocks.conv_unit(in_channels, width, kernel)
        case "residual":
            return blocks.residual_stage(in_channels, width, kernel, topology.strides[0], count)


def _decoder(spec: NetworkSpec, topology: Topology) -> nn.ModuleList:
    up = blocks.NearestUp if spec.upsampling == "nearest" else blocks.transposed_up
    counts = layout.decoder_blocks(spec, topology)
    still = (1,) * topology.rank
    stages = nn.ModuleList()
    for (stage, width), deeper in reversed(list(pairwise(enumerate(topology.features)))):
        with_skip = stage > 0 or layout.full_resolution_skip(spec, topology)
        entering = 2 * width if with_skip else width
        merge = STAGE[spec.decoder](
            entering, width, topology.kernels[stage], still, counts[len(stages)]
        )
        rise = up(deeper[1], width, topology.strides[stage + 1])
        stages.append(DecoderStage(rise, merge, with_skip))
    return stages
