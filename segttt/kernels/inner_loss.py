"""What a TTT layer's inner model minimises: ½‖LN(z) − target‖², its gradient, and that one's."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class InnerLoss(NamedTuple):
    """½‖error‖² at z, with error = scale * normed + shift - target, and its slope in z."""

    normed: Tensor
    rstd: Tensor
    error: Tensor
    slope: Tensor

    @property
    def value(self) -> Tensor:
        """The loss of each token."""
        return 0.5 * self.error.square().sum(-1)


def inner_loss(
    z: Float[Tensor, "*tokens d"],
    targets: Float[Tensor, "*tokens d"],
    scale: Float[Tensor, "h 1 d"],
    shift: Float[Tensor, "h 1 d"],
    eps: float,
) -> InnerLoss:
    """The loss at `z` with all that its derivatives need. Source: arXiv 2407.04620, section 2.7."""
    normed, rstd = normalise(z, eps)
    error = scale * normed + shift - targets
    return InnerLoss(normed, rstd, error, rstd * project(scale * error, normed))


def slope_backward(
    loss: InnerLoss, scale: Float[Tensor, "h 1 d"], d_slope: Float[Tensor, "*tokens d"]
) -> tuple[Float[Tensor, "*tokens d"], Float[Tensor, "*tokens d"]]:
    """Gradients of the scaled error, scale * error, and of z, from that of the slope."""
    normed, rstd, error, slope = loss
    scaled = scale * error
    d_scaled = rstd * project(d_slope, normed)
    parallel = (scaled * normed).mean(-1, keepdim=True)
    along = (d_slope * normed).mean(-1, keepdim=True)
    d_normed = scale * scale * d_scaled - rstd * (d_slope * parallel + scaled * along)
    length = (d_slope * slope).mean(-1, keepdim=True)
    return d_scaled, rstd * (project(d_normed, normed) - normed * length)


def normalise(
    z: Float[Tensor, "*tokens d"], eps: float
) -> tuple[Float[Tensor, "*tokens d"], Float[Tensor, "*tokens 1"]]:
    """Zero mean and unit variance over the last axis; also the factor that did it."""
    centred = z - z.mean(-1, keepdim=True)
    # PyTorch's var_mean is about 9 times slower on a CPU over axes as short as a head
    rstd = torch.rsqrt(centred.square().mean(-1, keepdim=True) + eps)
    return centred * rstd, rstd


def project(
    x: Float[Tensor, "*tokens d"], normed: Float[Tensor, "*tokens d"]
) -> Float[Tensor, "*tokens d"]:
    """Take from x its mean and its part along `normed`; rstd times this is LN's derivative."""
    return x - x.mean(-1, keepdim=True) - normed * (x * normed).mean(-1, keepdim=True)
