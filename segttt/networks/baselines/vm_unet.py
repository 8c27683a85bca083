"""VM-UNet: a U-Net of visual state-space blocks with added skips."""

from jaxtyping import Float
from torch import Tensor, nn

from segttt.config.baselines import VMUNetSpec
from segttt.networks.baselines.drop_path import drop_rates
from segttt.networks.baselines.visual_scan import (
    PatchExpanding,
    VSSEncoder,
    check_grid,
    initialise_linear,
    vss_stage,
)
from segttt.networks.blocks import pointwise

EDGE = 4
COLOURS = 3


class VMUNet(nn.Module):
    """VM-UNet for pictures whose edges are multiples of 32; a single channel is shown thrice.

    Without deep supervision: the list of logits has one entry. Source: arXiv 2402.02491.
    """

    def __init__(self, spec: VMUNetSpec, patch: tuple[int, ...], in_channels: int, classes: int):
        super().__init__()
        check_grid(patch)
        self.deep_supervision = True
        width, states = spec.features, spec.states
        self.repeats = COLOURS if in_channels == 1 else 1
        down_rates = drop_rates(0.0, spec.drop_path, spec.encoder_blocks)
        up_rates = drop_rates(spec.drop_path, 0.0, spec.decoder_blocks)
        self.encoder = VSSEncoder(self.repeats * in_channels, EDGE, width, states, down_rates)
        widths = (8 * width, 4 * width, 2 * width, width)
        self.bottom = vss_stage(widths[0], states, up_rates[0])
        self.expands = nn.ModuleList(PatchExpanding(2 * wide, wide, 2) for wide in widths[1:])
        self.decoder = nn.ModuleList(
            vss_stage(wide, states, rates)
            for wide, rates in zip(widths[1:], up_rates[1:], strict=True)
        )
        self.final = PatchExpanding(width, width // EDGE, EDGE)
        self.head = pointwise(2, width // EDGE, classes)
        initialise_linear(self)

    def forward(self, x: Float[Tensor, "b c *grid"]) -> list[Float[Tensor, "b k *_"]]:
        """The logits. A `UsageError` tells that the grid does not suit the network."""
        check_grid(tuple(x.shape[2:]))
        entering, leaving = self.encoder(x.repeat(1, self.repeats, 1, 1))
        x = self.bottom(leaving[-1])
        for expand, stage in zip(self.expands, self.decoder, strict=True):
            # The finest skip, the embedding itself, is left out, as by the authors.
            x = stage(expand(x + entering.pop()))
        return [self.head(self.final(x).permute(0, 3, 1, 2))]
