"""Token mixers over feature maps, whatever layer they hold."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segttt.config.network import UNetSpec
from segttt.networks.layout import MixerSite, TokenAxis
from segttt.networks.precision import full_precision
from segttt.networks.tokens import to_tokens, to_volume


def sequence_layer(site: MixerSite, spec: UNetSpec) -> nn.Module:
    """The layer that the spec names, with new weights."""
    # Imported only here: registering their operators is a noticeable part of a program's start.
    if spec.mixer == "mamba":
        from segttt.networks.mamba import Mamba

        return Mamba(site, spec)
    from segttt.networks.ttt import TTT

    return TTT(site, spec)


class Mixer(nn.Module):
    """LayerNorm and a sequence layer over the tokens of a feature map, in float32 or better.

    The result replaces the feature map, or is added to it where `residual` is set.
    """

    def __init__(self, site: MixerSite, spec: UNetSpec, *, residual: bool):
        super().__init__()
        self.order: TokenAxis = site.order
        self.residual = residual
        self.norm = nn.LayerNorm(site.width)
        self.layer = sequence_layer(site, spec)

    def forward(self, x: Float[Tensor, "b c *grid"]) -> Float[Tensor, "b c *grid"]:
        grid = tuple(x.shape[2:])
        with full_precision(x.device):
            exact = x.to(torch.promote_types(x.dtype, torch.float32))
            tokens = to_tokens(exact, self.order)
            scanned = (1, 1, tokens.shape[1]) if self.order == "channels" else grid
            out = to_volume(self.layer(self.norm(tokens), scanned), grid, self.order)
            return (exact + out if self.residual else out).to(x.dtype)
