"""Depthwise convolutions along sequences, and weights that belong to scan orders."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segttt.kernels.causal_conv.op import Activation, causal_conv


class CausalConv(nn.Module):
    """A depthwise convolution that sees a token and the `reach` - 1 before it in its order.

    `own` sets of weights: one per scan order, or one for all. What it gives has been activated.
    """

    def __init__(self, own: int, width: int, reach: int, activation: Activation = "none"):
        super().__init__()
        self.activation: Activation = activation
        self.weight = nn.Parameter(torch.empty(own, width, reach))
        self.bias = nn.Parameter(torch.empty(own, width))
        for parameter in (self.weight, self.bias):
            nn.init.uniform_(parameter, -(reach**-0.5), reach**-0.5)  # as PyTorch's convolutions

    def forward(
        self, x: Float[Tensor, "b _ n d"], which: slice, backwards: list[bool]
    ) -> Float[Tensor, "b g n d"]:
        """`x` are the sequences of the orders in `which`, some read from the last token on.

        Where all of them read the same tokens, one sequence will do.
        """
        weight, bias = of_orders(self.weight, which), of_orders(self.bias, which)
        return causal_conv(x, weight, bias, backwards=backwards, activation=self.activation)


def of_orders(weight: Float[Tensor, "own *shape"], which: slice) -> Float[Tensor, "g *shape"]:
    """The weights of the scan orders in `which`; a single set serves them all."""
    if len(weight) > 1:
        return weight[which]
    return weight.expand(which.stop - which.start, *weight.shape[1:])
