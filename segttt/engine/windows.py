"""Where the windows of a volume lie, and how their predictions blend."""

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor

PIECE_BYTES = 2**26  # of released slices at once
PEAK = 10.0  # as in nnU-Net; a corner of a volume window still weighs 4e-10, enough for fp32


def steps(size: int, patch: int, overlap: float) -> list[int]:
    """First voxels of the windows along one axis: evenly spread, at least `overlap` shared."""
    if size <= patch:
        return [0]
    stride = patch * (1 - overlap)
    count = math.ceil((size - patch) / stride) + 1
    distance = (size - patch) / (count - 1)
    return [round(distance * index) for index in range(count)]


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
    return weight * (PEAK / weight.max())


class RollingBlend:
    """A weighted mean of overlapping windows that keeps only the slices still in work.

    Windows arrive in order of their first axis; `release` hands back the finished slices. Slice z
    lies at z modulo the thickness, so nothing is moved. The mean runs along, which keeps its digits
    in float16, too, where sums of small weights would lose theirs; that halves the memory.
    """

    def __init__(
        self,
        classes: int,
        thickness: int,
        plane: tuple[int, int],
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ):
        self.mean = torch.zeros(thickness, classes, *plane, device=device, dtype=dtype)
        self.weights = torch.zeros(thickness, *plane, device=device)
        self.thickness = thickness
        self.first = 0

    def add(
        self,
        logits: Float[Tensor, "k z y x"],
        weight: Float[Tensor, "z y x"],
        corner: Sequence[int],
    ) -> None:
        """Add one window whose first axis starts at or after the first slice in work."""
        plane = tuple(slice(a, a + n) for a, n in zip(corner[1:], weight.shape[1:], strict=True))
        for slots, rows in self._slots(corner[0], corner[0] + len(weight)):
            known = self.weights[slots, *plane]
            known += weight[rows]
            mean = self.mean[slots, :, *plane]
            step = logits[:, rows].transpose(0, 1) - mean
            mean += (step * (weight[rows] / known)[:, None]).to(mean.dtype)

    def release(self, until: int) -> Iterator[Float[Tensor, "k z y x"]]:
        """The mean of the slices before `until`, which no later window touches, in pieces."""
        step = max(1, PIECE_BYTES // (4 * self.mean[0].numel()))
        for low in range(self.first, until, step):
            for slots, _ in self._slots(low, min(low + step, until)):
                done = self.mean[slots].transpose(0, 1).to(torch.float32, copy=True)
                self.mean[slots] = 0
                self.weights[slots] = 0
                yield done
        self.first = until

    def _slots(self, begin: int, end: int) -> Iterator[tuple[slice, slice]]:
        """Where the slices from `begin` to `end` are kept, and which of the window's they are."""
        at = begin
        while at < end:
            slot = at % self.thickness
            count = min(end - at, self.thickness - slot)
            yield slice(slot, slot + count), slice(at - begin, at - begin + count)
            at += count
