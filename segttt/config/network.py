"""What a network is made of: topology, blocks and mixers, as data."""

from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from segttt.config.strict import Strict

Steps = tuple[PositiveInt, ...]


class Topology(Strict):
    """Patch and stages of a U-Net; spatial axes are ordered (z, y, x) or (y, x)."""

    patch: Steps
    """Edge lengths of the input window, in voxels."""
    strides: tuple[Steps, ...]
    """Down-sampling of each stage; the first stage keeps the resolution."""
    kernels: tuple[Steps, ...]
    """Convolution kernel of each stage."""
    features: Steps
    """Channels of each stage."""

    @model_validator(mode="after")
    def _agree(self) -> "Topology":
        if not len(self.strides) == len(self.kernels) == len(self.features) >= 2:
            raise ValueError("strides, kernels and features need one entry per stage, at least two")
        if any(len(step) != self.rank for step in (*self.strides, *self.kernels)):
            raise ValueError("strides and kernels need as many axes as the patch")
        if set(self.strides[0]) != {1}:
            raise ValueError("the first stage keeps the resolution, its strides must be 1")
        if any(edge > 4096 for edge in self.patch) or max(self.features) > 4096:
            raise ValueError("patch edges and features are limited to 4096")
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


class NetworkSpec(Strict):
    """One U-Net of blocks and mixers. The defaults are those of TTT-UNet (networks of U-Mamba)."""

    name: str = "ttt-unet-bot"
    """Name in the table of networks."""
    stem: Literal["none", "conv", "residual"] = "residual"
    """Layer before the first stage."""
    encoder: Literal["conv", "residual", "resenc"] = "residual"
    """Block of the encoder stages."""
    decoder: Literal["conv", "residual"] = "residual"
    """Block of the decoder stages."""
    encoder_blocks: Literal["reduced", "one", "two", "resenc"] | tuple[PositiveInt, ...] = "reduced"
    """Blocks per encoder stage: a rule by name, or the numbers themselves."""
    decoder_blocks: Literal["reduced", "one", "two"] | tuple[PositiveInt, ...] = "reduced"
    """Blocks per decoder stage, deepest first: a rule by name, or the numbers themselves."""
    upsampling: Literal["nearest", "transposed"] = "nearest"
    """Nearest neighbour and a 1x1 convolution, or a transposed convolution."""
    full_resolution_skip: Literal["auto"] | bool = "auto"
    """Whether the last decoder stage sees the first skip; auto: in 3D only, like the authors."""
    mixer: Literal["none", "ttt_linear"] = "ttt_linear"
    """Token mixer after the chosen encoder stages."""
    mixer_stages: Literal["bottleneck", "alternating", "all"] | tuple[int, ...] = "bottleneck"
    """Encoder stages with a mixer; alternating: of other parity than the number of stages."""
    max_tokens: PositiveInt | None = 65_536
    """Stages with more tokens per patch carry no mixer; null lifts the limit."""
    heads: PositiveInt = 16
    """Heads of a mixer."""
    mini_batch: int = Field(default=64, ge=1, le=1024)
    """Tokens per inner gradient step."""
    inner_lr: float = Field(default=1.0, ge=0, le=100)
    """Base inner learning rate; 0 switches the adaptation off."""
    conv_qk: bool = False
    """Depthwise causal convolutions on queries and keys, as in the paper's figure."""
    gate: Literal["none", "silu", "gelu"] = "none"
    """Gate on the output of the mixer."""
    mixer_residual: bool = False
    """Add the input of the mixer to its output."""
    channel_tokens: bool = False
    """Where a patch has no more voxels than channels, let the channels be the tokens."""
