"""Stochastic depth: residual branches that are left out now and then while training."""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

Rates = tuple[tuple[float, ...], ...]
"""Per stage and block, the probability of leaving out the residual branch."""


class DropPath(nn.Module):
    """In training, zero whole samples with probability `rate` and scale the others up for it.

    Source: stochastic depth, arXiv 1603.09382.
    """

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: Float[Tensor, "b *rest"]) -> Float[Tensor, "b *rest"]:
        if not self.training or self.rate == 0:
            return x
        kept = x.new_empty(x.shape[0], *[1] * (x.ndim - 1)).bernoulli_(1 - self.rate)
        return x * (kept / (1 - self.rate))


def drop_rates(first: float, last: float, depths: tuple[int, ...]) -> Rates:
    """A straight line from the first to the last of all blocks, cut into stages of `depths`."""
    step = (last - first) / max(sum(depths) - 1, 1)
    ends = [sum(depths[:stage]) for stage in range(len(depths) + 1)]
    return tuple(
        tuple(first + step * block for block in range(start, end)) for start, end in pairwise(ends)
    )
