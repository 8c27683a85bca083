"""The meta blocks of MM-UNet: convolutions, mixers, or both, with a residual connection.

Source: arXiv 2503.17540, Fig. 1. Where it leaves something open, docs/networks.md says what was
chosen.
"""

from jaxtyping import Float
from torch import Tensor, nn

from segttt.config.network import UNetSpec
from segttt.networks.blocks import CONV, ChannelNorm, Steps, activation, conv_unit
from segttt.networks.instance_norm import InstanceNorm
from segttt.networks.layout import StageLayout
from segttt.networks.mixer import Mixer


class MetaBlock(nn.Module):
    """Two convolution units; a mixer inside their residual connection, behind it, or none."""

    def __init__(
        self,
        widths: tuple[int, int],
        kernel: Steps,
        stride: Steps,
        *,
        residual: bool,
        inside: nn.Module | None = None,
        after: nn.Module | None = None,
    ):
        super().__init__()
        c_in, c_out = widths
        self.convolutions = nn.Sequential(
            conv_unit(c_in, c_out, kernel, stride), conv_unit(c_out, c_out, kernel)
        )
        self.inside, self.after = inside, after
        self.shortcut = shortcut(c_in, c_out, stride) if residual else None
        self.act = activation()

    def forward(self, x: Float[Tensor, "b c_in *grid"]) -> Float[Tensor, "b c_out *smaller"]:
        out = self.convolutions(x)
        if self.inside is not None:
            out = self.inside(out)
        if self.shortcut is not None:
            out = self.act(self.shortcut(x) + out)
        return out if self.after is None else self.after(out)


def shortcut(c_in: int, c_out: int, stride: Steps) -> nn.Module:
    """The identity, or a strided 1x1 convolution and norm where width or grid change."""
    if c_in == c_out and set(stride) == {1}:
        return nn.Identity()
    project = CONV[len(stride)](c_in, c_out, 1, stride, bias=False)
    return nn.Sequential(project, InstanceNorm(c_out))


def meta_stage(
    widths: tuple[int, int], kernel: Steps, stride: Steps, stage: StageLayout, spec: UNetSpec
) -> nn.Sequential:
    """The meta blocks of one stage; the first one goes from the first of `widths` to the second.

    A block of mixers alone is two of them, each with a residual connection, behind a convolution
    that changes grid and width.
    """
    c_in, c_out = widths
    if stage.block == "mixers" and stage.site is not None:
        enter = [CONV[len(stride)](c_in, c_out, stride, stride), ChannelNorm(c_out)]
        units = (Mixer(stage.site, spec, residual=True) for _ in range(2 * stage.count))
        return nn.Sequential(*enter, *units)
    still = (1,) * len(stride)
    return nn.Sequential(
        *(
            MetaBlock(
                (c_out, c_out) if place else widths,
                kernel,
                still if place else stride,
                residual=stage.residual,
                inside=_mixer(stage, spec, "inside"),
                after=_mixer(stage, spec, "after"),
            )
            for place in range(stage.count)
        )
    )


def _mixer(stage: StageLayout, spec: UNetSpec, place: str) -> Mixer | None:
    if stage.site is None or stage.place != place:
        return None
    return Mixer(stage.site, spec, residual=spec.mixer_residual)
