"""The one U-Net, for pictures and volumes: blocks, mixers and skips as its spec says."""

from jaxtyping import Float
from torch import Tensor, nn

from segttt.config.network import Topology, UNetSpec
from segttt.errors import UsageError
from segttt.networks import blocks, layout
from segttt.networks.joined import join
from segttt.networks.layout import StageLayout
from segttt.networks.meta import meta_stage
from segttt.networks.mixer import Mixer
from segttt.networks.precision import refuse_thin_maps

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
        spec: UNetSpec,
        topology: Topology,
        in_channels: int,
        classes: int,
        deep_supervision: bool = True,
    ):
        super().__init__()
        self.deep_supervision = deep_supervision
        """Whether `forward` returns the logits of every head."""
        encoder, decoder = layout.encoder(spec, topology), layout.decoder(spec, topology)
        swapped = (one.site and one.site.order == "channels" for one in (*encoder, *decoder))
        self._patch = topology.patch if any(swapped) else None
        self._multiple = topology.total_stride
        self.depth_strides = {
            topology.stage_stride(stage)[0]
            for stage in range(topology.stages)
            if topology.rank == 3 and topology.kernels[stage][0] > 1
        }

        features = topology.features
        self.stem = _stem(spec, topology, in_channels, encoder[0].count)
        entering = (in_channels if spec.stem == "none" else features[0], *features[:-1])
        self.encoder = nn.ModuleList(
            _stage((width, features[one.stage]), topology.strides[one.stage], one, spec, topology)
            for width, one in zip(entering, encoder, strict=True)
        )
        self.mixers = nn.ModuleDict(
            {
                str(one.stage): Mixer(one.site, spec, residual=spec.mixer_residual)
                for one in encoder
                if one.site and one.block in STAGE
            }
        )
        self.decoder = nn.ModuleList(_decoder_stage(one, spec, topology) for one in decoder)
        self.heads = nn.ModuleList(
            blocks.pointwise(topology.rank, width, classes) for width in features[-2::-1]
        )
        blocks.initialise(self)

    def forward(self, x: Float[Tensor, "b c *grid"]) -> list[Float[Tensor, "b k *_"]]:
        """Logits, highest resolution first: of all heads, or of the first alone.

        A `UsageError` tells that the grid does not suit the network.
        """
        self._check_grid(tuple(x.shape[2:]))
        refuse_thin_maps(self, x)
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


class DecoderStage(nn.Module):
    """Bring features to the resolution of a skip, join the two, and convolve."""

    def __init__(self, up: nn.Module, merge: nn.Module, with_skip: bool):
        super().__init__()
        self.up, self.merge, self.with_skip = up, merge, with_skip

    def forward(
        self, x: Float[Tensor, "b c_deep *small"], skip: Float[Tensor, "b c *grid"]
    ) -> Float[Tensor, "b c *grid"]:
        x = self.up(x)
        return self.merge(join(x, skip) if self.with_skip else x)


def _stem(spec: UNetSpec, topology: Topology, in_channels: int, count: int) -> nn.Module:
    width, kernel = topology.features[0], topology.kernels[0]
    match spec.stem:
        case "none":
            return nn.Identity()
        case "conv":
            return blocks.conv_unit(in_channels, width, kernel)
        case "residual":
            return blocks.residual_stage(in_channels, width, kernel, topology.strides[0], count)


def _stage(
    widths: tuple[int, int],
    stride: blocks.Steps,
    stage: StageLayout,
    spec: UNetSpec,
    topology: Topology,
) -> nn.Module:
    kernel = topology.kernels[stage.stage]
    if stage.block in STAGE:
        return STAGE[stage.block](*widths, kernel, stride, stage.count)
    return meta_stage(widths, kernel, stride, stage, spec)


def _decoder_stage(stage: StageLayout, spec: UNetSpec, topology: Topology) -> DecoderStage:
    up = blocks.NearestUp if spec.upsampling == "nearest" else blocks.transposed_up
    width, deeper = topology.features[stage.stage : stage.stage + 2]
    with_skip = stage.stage > 0 or layout.full_resolution_skip(spec, topology)
    widths = (2 * width if with_skip else width, width)
    merge = _stage(widths, (1,) * topology.rank, stage, spec, topology)
    return DecoderStage(up(deeper, width, topology.strides[stage.stage + 1]), merge, with_skip)
