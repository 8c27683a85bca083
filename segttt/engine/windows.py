"""Where the windows of a volume lie, and how their predictions blend."""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor

PEAK = 10.0  # keeps the border weights away from the smallest half-precision numbers


def steps(size: int, patch: int, overlap: float) -> list[int]:
    """First voxels of the windows along one axis: evenly spread, at least `overlap` shared."""
    if size <= patch:
        return [0]
    stride = patch * (1 - overlap)
    count = math.ceil((size - patch) / stride) + 1
    return [round(index * (size - patch) / (count - 1)) for index in range(count)]


def corners(shape: Sequence[int], patch: Sequence[int], overlap: float) -> list[tuple[int, ...]]:
    """First voxels of all windows of a volume, slowest axis first."""
    axes = zip(shape, patch, strict=True)
    return list(product(*[steps(size, edge, overlap) for size, edge in axes]))


@lru_cache(maxsize=8)
def gaussian(patch: tuple[int, ...], device: torch.device) -> Float[Tensor, "*patch"]:
    """Weight of each voxel of a window: a Gaussian of sigma patch/8, positive everywhere.

    The weight is highest at the centre, where the network has seen context on every side.
    """
    weight = torch.ones((), device=device)
    for edge in patch:
        place = torch.arange(edge, device=device, dtype=torch.float32) - edge // 2
        line = torch.exp(-0.5 * (place / (edge / 8)) ** 2) if edge > 1 else torch.ones_like(place)
        weight = weight[..., None] * line
    weight = weight * (PEAK / weight.max())
    return weight.clamp_min(PEAK * 1e-4)


class RollingBlend:
    """A weighted mean of overlapping windows that keeps only the slices still in work.

    Windows arrive in order of their first axis; `release` hands back the finished slices.
    """

    def __init__(self, classes: int, thickness: int, plane: tuple[int, int], device: torch.device):
        self.total = torch.zeros(classes, thickness, *plane, device=device)
        self.weights = torch.zeros(thickness, *plane, device=device)
        self.first = 0

    def add(
        self,
        logits: Float[Tensor, "k z y x"],
        weight: Float[Tensor, "z y x"],
        corner: Sequence[int],
    ) -> None:
        """Add one window whose first axis starts at or after the first slice in work."""
        begin = (corner[0] - self.first, *corner[1:])
        here = tuple(slice(a, a + n) for a, n in zip(begin, weight.shape, strict=True))
        self.total[:, *here] += logits * weight
        self.weights[here] += weight

    def release(self, until: int) -> Float[Tensor, "k z y x"]:
        """The mean of the slices before `until`, which no later window touches."""
        count = until - self.first
        done = self.total[:, :count] / self.weights[:count]
        for buffer, axis in ((self.total, 1), (self.weights, 0)):
            kept = buffer.narrow(axis, count, buffer.shape[axis] - count).clone()
            buffer.narrow(axis, 0, kept.shape[axis]).copy_(kept)
            buffer.narrow(axis, kept.shape[axis], count).zero_()
        self.first = until
        return done
