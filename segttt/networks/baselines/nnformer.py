"""nnFormer: a U-Net of window attention for volumes (arXiv 2109.03201)."""

import math

from jaxtyping import Float
from torch import Tensor, nn

from segttt.config.baselines import NnFormerSpec
from segttt.errors import UsageError
from segttt.networks.baselines.drop_path import DropPath, drop_rates
from segttt.networks.baselines.window_attention import WindowAttention, Windows, windows_of
from segttt.networks.blocks import ChannelNorm, conv, transposed_up
from segttt.networks.layer_norm import LayerNorm
from segttt.shapes import Shape3

STAGES = 4
KERNEL = (3, 3, 3)
HALF = (2, 2, 2)


class NnFormer(nn.Module):
    """Four encoder and three decoder stages of window attention, and a head per decoder stage.

    The heads undo the patch embedding, so the logits have 1, 1/2 and 1/4 of the resolution of the
    input. Inputs have the size of `patch`, whose edges are multiples of 8 embedding steps; others
    raise a `UsageError`. Stochastic depth rises from 0 to `drop_path` along the encoder, and again
    along the decoder. Source: arXiv 2109.03201; sizes and order are those of the published code.
    """

    def __init__(self, spec: NnFormerSpec, patch: tuple[int, ...], in_channels: int, classes: int):
        super().__init__()
        _check(spec, patch)
        self.deep_supervision: bool = True
        """Whether `forward` returns the logits of every head."""
        self._patch = patch
        widths = [spec.width * 2**stage for stage in range(STAGES)]
        rates = drop_rates(0.0, spec.drop_path, spec.depths)
        self.embedding = _embedding(in_channels, spec.width, spec.embedding)
        self.encoder = nn.ModuleList(
            EncoderStage(spec, stage, patch, rates[stage]) for stage in range(STAGES)
        )
        self.norms = nn.ModuleList(ChannelNorm(width) for width in widths)
        self.down = nn.ModuleList(_down(width) for width in widths[:-1])
        self.up = nn.ModuleList(_up(width) for width in widths[:0:-1])
        rates = drop_rates(0.0, spec.drop_path, spec.depths[-2::-1])
        self.decoder = nn.ModuleList(
            DecoderStage(spec, STAGES - 2 - index, patch, rates[index])
            for index in range(STAGES - 1)
        )
        self.heads = nn.ModuleList(
            transposed_up(width, classes, spec.embedding) for width in widths[-2::-1]
        )

    def forward(self, x: Float[Tensor, "b c *grid"]) -> list[Float[Tensor, "b k *_"]]:
        """Logits, highest resolution first: of all heads, or of the first alone."""
        if tuple(x.shape[2:]) != self._patch:
            raise UsageError(
                f"The input is {list(x.shape[2:])}, but this nnFormer was built for inputs of "
                f"{list(self._patch)}; cut the image into windows of that size."
            )
        x = self.embedding(x)
        skips = []
        for index, stage in enumerate(self.encoder):
            x = stage(self.down[index - 1](x) if index else x)
            skips.append(self.norms[index](x))
        x = skips.pop()
        outs = []
        for up, stage, head in zip(self.up, self.decoder, self.heads, strict=True):
            x = stage(up(x), skips.pop())
            if self.deep_supervision or not skips:
                outs.append(head(x))
        return outs[::-1]


class EncoderStage(nn.Module):
    """Blocks of attention within windows; every second block shifts them."""

    def __init__(
        self, spec: NnFormerSpec, stage: int, patch: tuple[int, ...], rates: tuple[float, ...]
    ):
        super().__init__()
        self.blocks = nn.ModuleList(
            Block(spec, stage, _windows(spec, stage, patch, shifted=index % 2 == 1), rate)
            for index, rate in enumerate(rates)
        )

    def forward(self, x: Float[Tensor, "b c z y x"]) -> Float[Tensor, "b c z y x"]:
        x = x.movedim(1, -1)
        for block in self.blocks:
            x = block(x)
        return x.movedim(-1, 1)


class DecoderStage(nn.Module):
    """A block in which the features ask the skip, then blocks within shifted windows."""

    def __init__(
        self, spec: NnFormerSpec, stage: int, patch: tuple[int, ...], rates: tuple[float, ...]
    ):
        super().__init__()
        self.cross = CrossBlock(spec, stage, _windows(spec, stage, patch, shifted=False), rates[0])
        self.blocks = nn.ModuleList(
            Block(spec, stage, _windows(spec, stage, patch, shifted=True), rate)
            for rate in rates[1:]
        )

    def forward(
        self, x: Float[Tensor, "b c z y x"], skip: Float[Tensor, "b c z y x"]
    ) -> Float[Tensor, "b c z y x"]:
        x = self.cross(x.movedim(1, -1), skip.movedim(1, -1))
        for block in self.blocks:
            x = block(x)
        return x.movedim(-1, 1)


class Block(nn.Module):
    """x + attention(norm(x)) within windows, then x + mlp(norm(x))."""

    def __init__(self, spec: NnFormerSpec, stage: int, windows: Windows, rate: float):
        super().__init__()
        width = spec.width * 2**stage
        self.windows = windows
        self.norm = LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.attention = WindowAttention(width, spec.heads[stage], windows)
        self.mlp = _mlp(width, spec.mlp_ratio)
        self.drop = DropPath(rate)

    def forward(self, x: Float[Tensor, "b z y x c"]) -> Float[Tensor, "b z y x c"]:
        q, k, v = self.qkv(self.windows.cut(self.norm(x))).chunk(3, -1)
        x = x + self.drop(self.windows.join(self.attention(q, k, v)))
        return x + self.drop(self.mlp(x))


class CrossBlock(nn.Module):
    """A block whose queries are the normed features, as they are, and whose keys are of the skip.

    Features and skip share one norm, and their sum is what the block adds to.
    """

    def __init__(self, spec: NnFormerSpec, stage: int, windows: Windows, rate: float):
        super().__init__()
        width = spec.width * 2**stage
        self.windows = windows
        self.norm = LayerNorm(width)
        self.kv = nn.Linear(width, 2 * width)
        self.attention = WindowAttention(width, spec.heads[stage], windows)
        self.mlp = _mlp(width, spec.mlp_ratio)
        self.drop = DropPath(rate)

    def forward(
        self, x: Float[Tensor, "b z y x c"], skip: Float[Tensor, "b z y x c"]
    ) -> Float[Tensor, "b z y x c"]:
        k, v = self.kv(self.windows.cut(self.norm(skip))).chunk(2, -1)
        q = self.windows.cut(self.norm(x))
        x = x + skip + self.drop(self.windows.join(self.attention(q, k, v)))
        return x + self.drop(self.mlp(x))


def _mlp(width: int, ratio: int) -> nn.Sequential:
    return nn.Sequential(
        LayerNorm(width),
        nn.Linear(width, ratio * width),
        nn.GELU(),
        nn.Linear(ratio * width, width),
    )


def _embedding(in_channels: int, width: int, steps: Shape3) -> nn.Sequential:
    """Four convolutions; the first halves every axis with an even step, the third does the rest."""
    first = tuple(math.gcd(2, step) for step in steps)
    rest = tuple(step // done for step, done in zip(steps, first, strict=True))
    half = width // 2
    return nn.Sequential(
        conv(in_channels, half, KERNEL, first),
        nn.GELU(),
        ChannelNorm(half),
        conv(half, half, KERNEL),
        nn.GELU(),
        ChannelNorm(half),
        conv(half, width, KERNEL, rest),
        nn.GELU(),
        ChannelNorm(width),
        conv(width, width, KERNEL),
        ChannelNorm(width),
    )


def _down(width: int) -> nn.Sequential:
    return nn.Sequential(nn.GELU(), ChannelNorm(width), conv(width, 2 * width, KERNEL, HALF))


def _up(width: int) -> nn.Sequential:
    return nn.Sequential(ChannelNorm(width), transposed_up(width, width // 2, HALF))


def _windows(spec: NnFormerSpec, stage: int, patch: tuple[int, ...], *, shifted: bool) -> Windows:
    z, y, x = (size // (step * 2**stage) for size, step in zip(patch, spec.embedding, strict=True))
    return windows_of((z, y, x), spec.windows[stage], shifted)


def _check(spec: NnFormerSpec, patch: tuple[int, ...]) -> None:
    steps = [step * 2 ** (STAGES - 1) for step in spec.embedding]
    if len(patch) != 3 or any(size % step for size, step in zip(patch, steps, strict=False)):
        raise UsageError(
            f"The patch is {list(patch)}, but nnFormer needs three edges that are multiples of "
            f"{steps}."
        )
    if spec.width % 2 or any(
        spec.width * 2**stage % heads for stage, heads in enumerate(spec.heads)
    ):
        raise UsageError(
            f"nnFormer's width {spec.width} must be even, and its multiple of each stage divisible "
            f"by the heads {list(spec.heads)}."
        )
