"""What a network is made of: topology, blocks and mixers, as data."""

from math import prod
from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveInt, model_validator

from segttt.config.baselines import Baseline, Depth, PluginSpec, Width
from segttt.config.strict import Strict

LARGEST_PATCH = 2**26  # voxels, 400 x 400 x 400; a window of it fills 256 MiB per channel
Steps = Annotated[tuple[PositiveInt, ...], Field(max_length=12)]
"""One number per axis or per stage."""
Small = Annotated[tuple[Depth, ...], Field(max_length=3)]
"""A stride or a kernel."""
Blocks = Annotated[tuple[Depth, ...], Field(max_length=12)]

Orders = Annotated[tuple[str, ...], Field(max_length=32)]
"""The sixteen scan orders and their reverses; operators mark each by a bit."""

MetaBlock = Literal["cnn", "mamba", "hybrid_out", "hybrid_in"]
"""Blocks of MM-UNet: convolutions, mixers alone, a mixer behind the residual or inside it."""
MixerRule = Literal["bottleneck", "alternating", "alternating_2d", "all"]
OrderSet = Literal["B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B9"]
"""Scan orders by their row in Table 1 of MM-UNet (arXiv 2503.17540)."""


class Topology(Strict):
    """Patch and stages of a U-Net; spatial axes are ordered (z, y, x) or (y, x)."""

    patch: Steps
    """Edge lengths of the input window, in voxels."""
    strides: Annotated[tuple[Small, ...], Field(max_length=12)]
    """Down-sampling of each stage; the first stage keeps the resolution."""
    kernels: Annotated[tuple[Small, ...], Field(max_length=12)]
    """Convolution kernel of each stage."""
    features: Steps
    """Channels of each stage."""

    @model_validator(mode="after")
    def _agree(self) -> "Topology":
        if self.rank not in (2, 3):
            raise ValueError("a patch has two or three axes")
        if not len(self.strides) == len(self.kernels) == len(self.features) >= 2:
            raise ValueError("strides, kernels and features need one entry per stage, at least two")
        if any(len(step) != self.rank for step in (*self.strides, *self.kernels)):
            raise ValueError("strides and kernels need as many axes as the patch")
        if set(self.strides[0]) != {1}:
            raise ValueError("the first stage keeps the resolution, its strides must be 1")
        if any(edge > 4096 for edge in self.patch) or max(self.features) > 4096:
            raise ValueError("patch edges and features are limited to 4096")
        if prod(self.patch) > LARGEST_PATCH:
            raise ValueError(f"a patch is limited to {LARGEST_PATCH} voxels")
        if any(size % total for size, total in zip(self.patch, self.total_stride, strict=True)):
            raise ValueError(f"each patch edge must be a multiple of {list(self.total_stride)}")
        return self

    @property
    def rank(self) -> int:
        """Number of spatial axes, 2 or 3."""
        return len(self.patch)

    @property
    def stages(self) -> int:
        """Number of resolutions, the bottleneck included."""
        return len(self.strides)

    @property
    def total_stride(self) -> tuple[int, ...]:
        """Voxels of the input per voxel of the bottleneck, per axis."""
        return self.stage_stride(self.stages - 1)

    def stage_stride(self, stage: int) -> tuple[int, ...]:
        """Voxels of the input per voxel of `stage`, per axis."""
        total = [1] * self.rank
        for step in self.strides[: stage + 1]:
            total = [have * more for have, more in zip(total, step, strict=True)]
        return tuple(total)

    def stage_shape(self, stage: int) -> tuple[int, ...]:
        """Edge lengths of the feature map of `stage` for an input of one patch."""
        return tuple(
            size // total for size, total in zip(self.patch, self.stage_stride(stage), strict=True)
        )


class UNetSpec(Strict):
    """One U-Net of blocks and mixers. The defaults are those of TTT-UNet (networks of U-Mamba)."""

    ranks: ClassVar[tuple[int, ...]] = (2, 3)
    needs: ClassVar[str | None] = None

    kind: Literal["unet"] = "unet"
    name: str = "ttt-unet-bot"
    """Name in the table of networks."""
    stem: Literal["none", "conv", "residual"] = "residual"
    """Layer before the first stage."""
    encoder: Literal["conv", "residual", "resenc"] | MetaBlock = "residual"
    """Block of the encoder stages."""
    bottleneck: Literal["encoder", "conv", "residual", "resenc"] | MetaBlock = "encoder"
    """Block of the last encoder stage; encoder: the same as in the others."""
    decoder: Literal["conv", "residual", "resenc"] | MetaBlock = "residual"
    """Block of the decoder stages."""
    cnn_residual: Literal["encoder", "all", "none"] = "encoder"
    """Where `cnn` blocks have a residual connection; hybrid blocks always have one."""
    encoder_blocks: Literal["reduced", "one", "two", "resenc"] | Blocks = "reduced"
    """Blocks per encoder stage: a rule by name, or the numbers themselves."""
    decoder_blocks: Literal["reduced", "one", "two"] | Blocks = "reduced"
    """Blocks per decoder stage, deepest first: a rule by name, or the numbers themselves."""
    upsampling: Literal["nearest", "transposed"] = "nearest"
    """Nearest neighbour and a 1x1 convolution, or a transposed convolution."""
    full_resolution_skip: Literal["auto"] | bool = "auto"
    """Whether the last decoder stage sees the first skip; auto: in 3D only, like the authors."""
    mixer: Literal["none", "ttt_linear", "ttt_mlp", "mamba"] = "ttt_linear"
    """Token mixer after the chosen encoder stages, or in the meta blocks."""
    mixer_stages: MixerRule | tuple[int, ...] = "bottleneck"
    """Stages with a mixer; alternating: of other parity than the number of stages;
    alternating_2d: so in 2D, all in 3D."""
    max_tokens: PositiveInt = 65_536
    """Stages with more tokens per patch carry no mixer, unless `faithful`."""
    faithful: bool = False
    """Mixers at every chosen stage, whatever the number of tokens."""
    orders: OrderSet | Orders = ("a",)
    """Scan orders of a mixer, a to p, "-" reverses one; or a set of them by name."""
    merge: Literal["sum", "mean"] = "sum"
    """How the results of several scan orders are joined."""
    share_orders: bool = False
    """One set of inner weights for all scan orders; projections are always shared."""
    mixer_residual: bool = False
    """Add the input of the mixer to its output."""
    channel_tokens: bool = False
    """Where a patch has no more voxels than channels, let the channels be the tokens."""
    heads: Width = 16
    """Heads of a TTT mixer."""
    mini_batch: int = Field(default=64, ge=1, le=1024)
    """Tokens per inner gradient step of a TTT mixer."""
    causal: bool = True
    """Whether a token of a mini-batch sees only the tokens before it, or the whole mini-batch."""
    inner_lr: float = Field(default=1.0, ge=0, le=100)
    """Base inner learning rate; 0 switches the adaptation off."""
    conv_qk: bool = False
    """Depthwise causal convolutions on queries and keys, as in the paper's figure."""
    gate: Literal["none", "silu", "gelu"] = "none"
    """Gate on the output of a TTT mixer; a Mamba mixer always has its own."""
    states: Width = 16
    """States per channel of a Mamba mixer."""
    expand: Depth = 2
    """Inner channels per channel of a Mamba mixer."""
    conv_width: Depth = 4
    """Tokens that the causal convolution of a Mamba mixer sees."""


NetworkSpec = Annotated[UNetSpec | Baseline | PluginSpec, Field(discriminator="kind")]
"""Any network: the one U-Net, a foreign baseline, or a network of another package."""
