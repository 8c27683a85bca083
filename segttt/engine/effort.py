"""What a prediction asks of a device, and what it gives up step by step when memory runs out."""

from dataclasses import dataclass, replace
from math import prod

import torch

from segttt.config.plan import Plan
from segttt.engine import compute as computing
from segttt.engine.compute import Compute

TILE_VOXELS = 2**21
"""Of the windows that a GPU computes at once: one of a CT, eight pictures of 512 x 512."""
MOST_TILES = 16


@dataclass(frozen=True)
class Effort:
    """How one case is computed."""

    tiles: int
    """Windows in one forward pass."""
    sums: torch.device
    """Where windows are added up and brought to the grid of the scan."""
    compute: Compute
    """Where the networks run."""

    def less(self) -> "Effort | None":
        """The same with less memory of the GPU; None where there is nothing left to give up."""
        if self.tiles > 1:
            return replace(self, tiles=self.tiles // 2)
        if self.sums.type != "cpu":
            return replace(self, sums=torch.device("cpu"))
        if self.compute.device.type != "cpu":
            return replace(self, compute=computing.choose("cpu"))
        return None

    def __str__(self) -> str:
        windows = f"{self.tiles} window{'s' * (self.tiles > 1)} at a time"
        place = f"the networks on {self.compute.device}, sums on {self.sums}"
        return f"{windows}, {place}"


def full_effort(compute: Compute, plan: Plan) -> Effort:
    """All on the device; a CPU gains nothing by several windows at once."""
    fitting = TILE_VOXELS // prod(plan.topology.patch)
    tiles = 1 if compute.device.type == "cpu" else min(MOST_TILES, max(1, fitting))
    return Effort(tiles, compute.device, compute)
