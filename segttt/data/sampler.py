"""Which window of which case a sample shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from segttt.shapes import Shape3


@runtime_checkable
class Locatable(Protocol):
    """What the sampler must know of a case."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels (z, y, x)."""
        ...

    @property
    def locations(self) -> Mapping[int, np.ndarray]:
        """Class -> voxels of it, int [n, 3]."""
        ...


@dataclass(frozen=True)
class Window:
    """A box in one case; it may overhang the volume."""

    case: int
    start: Shape3
    stop: Shape3

    def centred(self, size: Sequence[int]) -> "Window":
        """The window of `size` in the middle of this one."""
        start = tuple(
            a + (b - a - n) // 2 for a, b, n in zip(self.start, self.stop, size, strict=True)
        )
        z, y, x = start
        return Window(self.case, (z, y, x), (z + size[0], y + size[1], x + size[2]))


@dataclass(frozen=True)
class Sampler:
    """Draws windows as nnU-Net does: uniform over cases, a share of each batch on foreground."""

    reach: Shape3
    """Window that is drawn; larger than the patch where rotation needs context."""
    patch: Shape3
    """Window that the network sees."""
    batch: int
    foreground_share: float

    def windows(self, random: np.random.Generator, cases: Sequence[Locatable]) -> list[Window]:
        """Windows of `reach` for one batch; the last samples are centred on foreground."""
        free = round(self.batch * (1 - self.foreground_share))
        return [
            self._window(random, index, cases[index], on_foreground=position >= free)
            for position, index in enumerate(random.integers(len(cases), size=self.batch).tolist())
        ]

    def _window(
        self, random: np.random.Generator, index: int, case: Locatable, *, on_foreground: bool
    ) -> Window:
        lower, upper = self._bounds(case.shape)
        present = [label for label, voxels in sorted(case.locations.items()) if len(voxels)]
        if on_foreground and present:
            voxels = case.locations[present[random.integers(len(present))]]
            centre = voxels[random.integers(len(voxels))]
            corner = [
                max(low, int(c) - n // 2)
                for low, c, n in zip(lower, centre, self.reach, strict=True)
            ]
        else:
            corner = [int(random.integers(a, b + 1)) for a, b in zip(lower, upper, strict=True)]
        z, y, x = corner
        return Window(index, (z, y, x), (z + self.reach[0], y + self.reach[1], x + self.reach[2]))

    def _bounds(self, shape: Shape3) -> tuple[list[int], list[int]]:
        """Lowest and highest corner per axis; windows overhang by the margin of `reach`."""
        lower, upper = [], []
        for size, reach, patch in zip(shape, self.reach, self.patch, strict=True):
            margin = max(reach - patch, reach - size)
            lower.append(-margin // 2)
            upper.append(max(lower[-1], size + margin // 2 + margin % 2 - reach))
        return lower, upper
