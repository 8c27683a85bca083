"""Convolution blocks of the U-Nets, for pictures and volumes alike."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from segttt.networks.instance_norm import EPS, SLOPE, InstanceNorm
from segttt.networks.layer_norm import LayerNorm
from segttt.networks.transposed import TransposedConv2d, TransposedConv3d

Steps = tuple[int, ...]

CONV: dict[int, Callable[..., nn.Module]] = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: dict[int, Callable[..., nn.Module]] = {2: TransposedConv2d, 3: TransposedConv3d}
POOL: dict[int, Callable[..., nn.Module]] = {2: nn.AvgPool2d, 3: nn.AvgPool3d}


def conv(c_in: int, c_out: int, kernel: Steps, stride: Steps | None = None) -> nn.Module:
    """A padded convolution with bias; the length of `kernel` says how many axes there are."""
    rank = len(kernel)
    padding = tuple(edge // 2 for edge in kernel)
    return CONV[rank](c_in, c_out, kernel, stride or (1,) * rank, padding)


def pointwise(rank: int, c_in: int, c_out: int) -> nn.Module:
    """A 1x1 convolution with bias."""
    return CONV[rank](c_in, c_out, 1)


class ChannelNorm(nn.Module):
    """LayerNorm over the channels of each voxel."""

    def __init__(self, channels: int, eps: float = EPS):
        super().__init__()
        self.norm = LayerNorm(channels, eps)

    def forward(self, x: Float[Tensor, "b c *grid"]) -> Float[Tensor, "b c *grid"]:
        return self.norm(x.movedim(1, -1)).movedim(-1, 1)


def activation() -> nn.Module:
    """The leaky ReLU of all blocks."""
    return nn.LeakyReLU(SLOPE, inplace=True)


def conv_unit(c_in: int, c_out: int, kernel: Steps, stride: Steps | None = None) -> nn.Sequential:
    """Convolution, norm, activation."""
    return nn.Sequential(conv(c_in, c_out, kernel, stride), InstanceNorm(c_out, SLOPE))


class ResidualBlock(nn.Module):
    """Two convolutions and a shortcut; the first convolution may shrink the grid."""

    def __init__(
        self, c_in: int, c_out: int, kernel: Steps, stride: Steps | None, shortcut: nn.Module
    ):
        super().__init__()
        self.first = conv_unit(c_in, c_out, kernel, stride)
        self.second = conv(c_out, c_out, kernel)
        self.norm = InstanceNorm(c_out)
        self.shortcut = shortcut
        self.act = activation()

    def forward(self, x: Float[Tensor, "b c_in *grid"]) -> Float[Tensor, "b c_out *smaller"]:
        return self.act(self.norm(self.second(self.first(x))) + self.shortcut(x))


def conv_stage(c_in: int, c_out: int, kernel: Steps, stride: Steps, count: int) -> nn.Sequential:
    """`count` convolution units, as in the plain nnU-Net; the first carries the stride."""
    rest = (conv_unit(c_out, c_out, kernel) for _ in range(count - 1))
    return nn.Sequential(conv_unit(c_in, c_out, kernel, stride), *rest)


def residual_stage(
    c_in: int, c_out: int, kernel: Steps, stride: Steps, count: int
) -> nn.Sequential:
    """`count` residual blocks, as in U-Mamba; the first has a strided 1x1 shortcut, always."""
    shortcut = CONV[len(kernel)](c_in, c_out, 1, stride)
    rest = (ResidualBlock(c_out, c_out, kernel, None, nn.Identity()) for _ in range(count - 1))
    return nn.Sequential(ResidualBlock(c_in, c_out, kernel, stride, shortcut), *rest)


def resenc_stage(c_in: int, c_out: int, kernel: Steps, stride: Steps, count: int) -> nn.Sequential:
    """`count` residual blocks, as in nnU-Net's residual encoder; its shortcut pools."""
    rank = len(kernel)
    pool = [POOL[rank](stride, stride)] if max(stride) > 1 else []
    project = [CONV[rank](c_in, c_out, 1, bias=False), InstanceNorm(c_out)] if c_in != c_out else []
    blocks = [ResidualBlock(c_in, c_out, kernel, stride, nn.Sequential(*pool, *project))]
    blocks += [ResidualBlock(c_out, c_out, kernel, None, nn.Identity()) for _ in range(count - 1)]
    for block in blocks:
        nn.init.zeros_(block.norm.weight)
    return nn.Sequential(*blocks)


class NearestUp(nn.Module):
    """Repeat each voxel `stride` times, and a 1x1 convolution.

    The convolution comes first: it does not mix voxels, so the result is the same, for a fraction
    of the work.
    """

    def __init__(self, c_in: int, c_out: int, stride: Steps):
        super().__init__()
        self.conv = pointwise(len(stride), c_in, c_out)
        self.repeat = nn.Upsample(scale_factor=tuple(map(float, stride)), mode="nearest")

    def forward(self, x: Float[Tensor, "b c_in *grid"]) -> Float[Tensor, "b c_out *larger"]:
        return self.repeat(self.conv(x))


def transposed_up(c_in: int, c_out: int, stride: Steps, *, bias: bool = True) -> nn.Module:
    """A transposed convolution whose kernel is its stride."""
    return TRANSPOSED[len(stride)](c_in, c_out, stride, bias=bias)


def initialise(network: nn.Module) -> None:
    """He's normal weights for the leaky ReLU and zero biases, for all spatial convolutions."""
    kinds = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    for module in network.modules():
        if isinstance(module, kinds):
            nn.init.kaiming_normal_(module.weight, a=SLOPE)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
