"""Depthwise convolutions along sequences, and weights that belong to scan orders."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class CausalConv(nn.Module):
    """A depthwise convolution that sees a token and the `reach` - 1 before it in its order.

    `own` sets of weights: one per scan order, or one for all.
    """

    def __init__(self, own: int, width: int, reach: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(own, width, reach))
        self.bias = nn.Parameter(torch.empty(own, width))
        for parameter in (self.weight, self.bias):
            nn.init.uniform_(parameter, -(reach**-0.5), reach**-0.5)  # as PyTorch's convolutions

    def forward(
        self, x: Float[Tensor, "b g n d"], which: slice, backwards: list[bool]
    ) -> Float[Tensor, "b g n d"]:
        """`x` are the sequences of the orders in `which`, some read from the last token on."""
        weight, bias = of_orders(self.weight, which), of_orders(self.bias, which)
        if not any(backwards):
            return _convolved(x, weight, bias)
        one = [slice(place, place + 1) for place in range(len(backwards))]
        outs = [
            _convolved(x[:, place], weight[place], bias[place], backwards=turned)
            for place, turned in zip(one, backwards, strict=True)
        ]
        return torch.cat(outs, 1)


def _convolved(x: Tensor, weight: Tensor, bias: Tensor, *, backwards: bool = False) -> Tensor:
    """The convolution of some orders that all read in the same direction."""
    orders, width, reach = weight.shape
    flat = x.transpose(2, 3).flatten(1, 2)  # [b, g * d, n]
    if backwards:
        flat, weight = F.pad(flat, (0, reach - 1)), weight.flip(2)
    else:
        flat = F.pad(flat, (reach - 1, 0))
    out = F.conv1d(flat, weight.reshape(-1, 1, reach), bias.flatten(), groups=orders * width)
    return out.unflatten(1, (orders, width)).transpose(2, 3)


def of_orders(weight: Float[Tensor, "own *shape"], which: slice) -> Float[Tensor, "g *shape"]:
    """The weights of the scan orders in `which`; a single set serves them all."""
    if len(weight) > 1:
        return weight[which]
    return weight.expand(which.stop - which.start, *weight.shape[1:])
