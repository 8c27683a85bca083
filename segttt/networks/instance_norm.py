"""Instance norm, with or without the leaky ReLU that follows it."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

SLOPE = 0.01
EPS = 1e-5


def instance_norm(
    x: Float[Tensor, "b c *grid"],
    weight: Float[Tensor, " c"] | None = None,
    bias: Float[Tensor, " c"] | None = None,
    slope: float = 1.0,
) -> Float[Tensor, "b c *grid"]:
    """Bring each channel of each sample to mean 0 and variance 1, then scale and shift it.

    Negative results are multiplied by `slope`, which makes a leaky ReLU of it. Source: arXiv
    1607.08022.
    """
    if x.device.type == "cpu" and not torch.compiler.is_compiling():
        return _PerSample.apply(x, weight, bias, slope)
    normed = F.instance_norm(x, weight=weight, bias=bias, eps=EPS)
    return normed if slope == 1 else F.leaky_relu(normed, slope, inplace=True)


class InstanceNorm(nn.Module):
    """`instance_norm` with a weight and a bias per channel."""

    def __init__(self, channels: int, slope: float = 1.0):
        super().__init__()
        self.slope = slope
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Float[Tensor, "b c *grid"]) -> Float[Tensor, "b c *grid"]:
        return instance_norm(x, self.weight, self.bias, self.slope)

    def extra_repr(self) -> str:
        """What the printed network says of it."""
        return f"{len(self.weight)}, slope={self.slope}"


class _PerSample(torch.autograd.Function):
    """Every sample is a batch norm of its own, then activated while the caches hold it.

    The numbers are PyTorch's, whose instance norm copies channels-last features there and back and
    takes 15 to 25 percent of a bfloat16 step on a CPU; norm and activation apart take a fifth more
    than together (7x32x40x56x40, two cores).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, slope: float):
        x = _channels_last(x)
        out = torch.empty_like(x)
        half = x.dtype in (torch.bfloat16, torch.float16)
        mixed = half and weight is not None and weight.dtype == torch.float32
        kind = torch.float32 if mixed else x.dtype
        mean, rate = (x.new_empty(x.shape[:2], dtype=kind) for _ in range(2))
        for i, target in enumerate(out.split(1)):
            torch.native_batch_norm(
                x[i : i + 1], weight, bias, None, None, True, 0.0, EPS,
                out=(target, mean[i], rate[i]),
            )  # fmt: skip
            if slope != 1:
                F.leaky_relu_(target, slope)
        ctx.slope = slope
        ctx.save_for_backward(x, weight, mean, rate, None if slope == 1 else out)
        return out

    @staticmethod
    def backward(ctx: Any, d_out: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight, mean, rate, out = ctx.saved_tensors
        dx, sums = torch.empty_like(x), []
        wanted = [True, weight is not None, weight is not None]
        for i, slope_of in enumerate(d_out.split(1)):
            if out is not None:
                slope_of = torch.ops.aten.leaky_relu_backward(
                    slope_of, out[i : i + 1], ctx.slope, True
                )
            one, *rest = torch.ops.aten.native_batch_norm_backward(
                slope_of, x[i : i + 1], weight, None, None, mean[i], rate[i], True, EPS, wanted
            )
            dx[i : i + 1] = one
            sums.append(rest)
        if weight is None:
            return dx, None, None, None
        d_weight, d_bias = (torch.stack(parts).sum(0) for parts in zip(*sums, strict=True))
        return dx, d_weight, d_bias, None


def _channels_last(x: Tensor) -> Tensor:
    """As all other features lie on a CPU. A convolution of a single channel, whose layout nobody
    can tell, gives channels one after the other, and each pass that meets both layouts takes twenty
    times as long."""
    if x.ndim == 5:
        return x.contiguous(memory_format=torch.channels_last_3d)
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x
