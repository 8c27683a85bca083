"""Test-time averaging over mirrored copies."""

from collections.abc import Callable, Sequence
from itertools import combinations

from jaxtyping import Float
from torch import Tensor

Network = Callable[[Tensor], Tensor]


def flips(axes: Sequence[int]) -> list[tuple[int, ...]]:
    """All subsets of the axes; three axes give eight copies."""
    return [chosen for count in range(len(axes) + 1) for chosen in combinations(tuple(axes), count)]


def mirrored_mean(
    network: Network, images: Float[Tensor, "b c *grid"], axes: Sequence[int]
) -> Float[Tensor, "b k *grid"]:
    """Mean of the logits over all mirrored copies, each flipped back; `axes` are spatial."""
    copies = flips(axes)
    total = network(images)
    for chosen in copies[1:]:
        dims = [axis + 2 for axis in chosen]
        total = total + network(images.flip(dims)).flip(dims)
    return total / len(copies)
