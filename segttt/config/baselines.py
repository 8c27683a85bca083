"""What the foreign networks are made of; their published sizes are the defaults."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from segttt.config.strict import Strict

Width = Annotated[int, Field(ge=1, le=4096)]
"""Channels, values per token, heads: beyond, a network could only exhaust the memory."""
Depth = Annotated[int, Field(ge=1, le=64)]
"""Layers one after the other, and edges of windows."""
Four = tuple[Width, Width, Width, Width]
"""One number per stage."""
Depths = tuple[Depth, Depth, Depth, Depth]
Blocks = Annotated[tuple[Depth, ...], Field(max_length=8)]


class SegResNetSpec(Strict):
    """SegResNet (arXiv 1810.11654) as MONAI builds it."""

    ranks: ClassVar[tuple[int, ...]] = (2, 3)
    needs: ClassVar[str | None] = "monai"
    fixed_patch: ClassVar[bool] = False

    kind: Literal["segresnet"] = "segresnet"
    name: str = "segresnet"
    features: Width = 32
    """Channels of the first stage."""
    encoder_blocks: Blocks = (1, 2, 2, 4)
    decoder_blocks: Blocks = (1, 1, 1)


class UNETRSpec(Strict):
    """UNETR (arXiv 2103.10504) as MONAI builds it."""

    ranks: ClassVar[tuple[int, ...]] = (2, 3)
    needs: ClassVar[str | None] = "monai"
    fixed_patch: ClassVar[bool] = True

    kind: Literal["unetr"] = "unetr"
    name: str = "unetr"
    features: Width = 16
    """Channels of the first decoder stage."""
    width: Width = 768
    """Values per token."""
    mlp_width: Width = 3072
    heads: Width = 12


class SwinUNETRSpec(Strict):
    """SwinUNETR (arXiv 2201.01266) and its second version, as MONAI builds them."""

    ranks: ClassVar[tuple[int, ...]] = (2, 3)
    needs: ClassVar[str | None] = "monai"
    fixed_patch: ClassVar[bool] = False

    kind: Literal["swinunetr"] = "swinunetr"
    name: str = "swinunetr"
    features: Width = 48
    """Values per token of the first stage; a multiple of 12 and of the heads."""
    depths: Depths = (2, 2, 2, 2)
    heads: Four = (3, 6, 12, 24)
    v2: bool = False
    """A residual convolution block before each stage."""


class NnFormerSpec(Strict):
    """nnFormer (arXiv 2109.03201)."""

    ranks: ClassVar[tuple[int, ...]] = (3,)
    needs: ClassVar[str | None] = None
    fixed_patch: ClassVar[bool] = True

    kind: Literal["nnformer"] = "nnformer"
    name: str = "nnformer"
    embedding: tuple[Depth, Depth, Depth] = (2, 4, 4)
    """Voxels per token at the first stage."""
    width: Width = 192
    """Values per token of the first stage; doubled at each of the next three."""
    depths: Depths = (2, 2, 2, 2)
    heads: Four = (6, 12, 24, 48)
    windows: Depths = (4, 4, 8, 4)
    """Edge of the attention windows of each stage, in tokens."""
    mlp_ratio: Depth = 4
    drop_path: float = Field(default=0.2, ge=0, lt=1)
    """Probability at the deepest block of leaving out its residual branch."""


class UXNet3DSpec(Strict):
    """3D UX-Net (arXiv 2209.15076)."""

    ranks: ClassVar[tuple[int, ...]] = (3,)
    needs: ClassVar[str | None] = None
    fixed_patch: ClassVar[bool] = False

    kind: Literal["uxnet3d"] = "uxnet3d"
    name: str = "uxnet3d"
    features: Width = 48
    """Channels of the first stage; doubled at each of the next three and at the bottleneck."""
    depths: Depths = (2, 2, 2, 2)


class TransUNetSpec(Strict):
    """TransUNet (arXiv 2102.04306) with R50-ViT-B/16, from scratch."""

    ranks: ClassVar[tuple[int, ...]] = (2,)
    needs: ClassVar[str | None] = None
    fixed_patch: ClassVar[bool] = True

    kind: Literal["transunet"] = "transunet"
    name: str = "transunet"
    stem: Width = 64
    """Channels of the residual network's first convolution; a multiple of 32."""
    units: tuple[Depth, Depth, Depth] = (3, 4, 9)
    """Residual units per stage."""
    width: Width = 768
    """Values per token."""
    layers: Depth = 12
    heads: Width = 12
    mlp_width: Width = 3072
    decoder: Four = (256, 128, 64, 16)
    """Channels of the decoder stages, deepest first."""
    dropout: float = Field(default=0.1, ge=0, lt=1)


class VMUNetSpec(Strict):
    """VM-UNet (arXiv 2402.02491)."""

    ranks: ClassVar[tuple[int, ...]] = (2,)
    needs: ClassVar[str | None] = None
    fixed_patch: ClassVar[bool] = False

    kind: Literal["vm-unet"] = "vm-unet"
    name: str = "vm-unet"
    features: int = Field(default=96, gt=0, le=4096, multiple_of=4)
    """Channels of the first stage; doubled at each of the next three."""
    encoder_blocks: Depths = (2, 2, 2, 2)
    decoder_blocks: Depths = (2, 2, 2, 1)
    """Deepest first."""
    states: Width = 16
    """States of the scan per channel."""
    drop_path: float = Field(default=0.2, ge=0, lt=1)


class SwinUMambaSpec(Strict):
    """Swin-UMamba (arXiv 2402.03302), and its variant with a Mamba decoder; from scratch."""

    ranks: ClassVar[tuple[int, ...]] = (2,)
    needs: ClassVar[str | None] = None
    fixed_patch: ClassVar[bool] = False

    kind: Literal["swin-umamba"] = "swin-umamba"
    name: str = "swin-umamba"
    mamba_decoder: bool = False
    """The D variant: blocks of scans in the decoder, too."""
    features: int = Field(default=96, gt=0, le=4096, multiple_of=4)
    """Channels of the first encoder stage; doubled at each of the next three."""
    depths: Depths = (2, 2, 9, 2)
    states: Width = 16
    drop_path: float = Field(default=0.2, ge=0, lt=1)


class PluginSpec(Strict):
    """A network of another package, found by the entry-point group `segttt.networks`."""

    ranks: ClassVar[tuple[int, ...]] = (2, 3)
    needs: ClassVar[str | None] = None
    fixed_patch: ClassVar[bool] = False

    kind: Literal["plugin"] = "plugin"
    name: str
    """Name of the entry point."""
    options: dict[str, Any] = {}
    """Keyword arguments of its builder."""


Baseline = (
    SegResNetSpec
    | UNETRSpec
    | SwinUNETRSpec
    | NnFormerSpec
    | UXNet3DSpec
    | TransUNetSpec
    | VMUNetSpec
    | SwinUMambaSpec
)
