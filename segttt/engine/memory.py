"""How much memory a prediction takes, and what it gives up to stay below a limit."""

from dataclasses import dataclass
from math import prod

import torch

from segttt.cluster.memory import available_bytes, give_back_freed_memory, resident_bytes
from segttt.config.plan import Plan
from segttt.engine.windows import PIECE_BYTES
from segttt.errors import CaseMemoryError
from segttt.geometry.probabilities import BLOCK_VOXELS
from segttt.shapes import Shape3

FEATURE_MAPS = 6
"""Maps of the first stage alive at once: skip, upsampled partner, both joined, output."""
RESTORED_PIECES = 4
"""Released slices, their copies in the resampling, and its own blocks."""
GIB = 2**30


@dataclass(frozen=True)
class Size:
    """What the memory of one prediction depends on."""

    channels: int
    source: Shape3
    """Voxels of the scan."""
    prepared: Shape3
    """Voxels at the plan's spacing."""
    mapped: bool = False
    """Whether maps of probabilities or entropy are asked for."""


def blend_dtype(size: Size, plan: Plan, device: torch.device, limit: int | None) -> torch.dtype:
    """Of the sums of windows: float32, or float16 where float32 would go beyond the limit.

    `limit` in bytes of resident memory, of the process as it is now and of the prediction; None
    takes what the machine or container has left and never refuses. A `CaseMemoryError` tells how
    much a stated limit lacks.
    """
    allowed = limit if limit is not None else resident_bytes() + available_bytes()
    held = _held(limit) if device.type == "cpu" or limit is not None else 0
    needs = {
        dtype: held + prediction_bytes(size, plan, dtype, on_cpu=device.type == "cpu")
        for dtype in (torch.float32, torch.float16)
    }
    if needs[torch.float32] <= allowed:
        return torch.float32
    if limit is not None and needs[torch.float16] > limit:
        raise CaseMemoryError(
            f"The prediction needs about {needs[torch.float16] / GIB:.1f} GiB, more than the "
            f"{limit / GIB:.1f} GiB of --max-ram. Allow more, or crop the scan."
        )
    return torch.float16


def require_room(needed: int, limit: int | None) -> None:
    """A `CaseMemoryError` where a process that takes so many more bytes would go beyond a stated
    limit of its resident memory.
    """
    total = _held(limit) + needed
    if limit is not None and total > limit:
        raise CaseMemoryError(
            f"The prediction needs about {total / GIB:.1f} GiB, more than the "
            f"{limit / GIB:.1f} GiB of --max-ram. Allow more, or crop the scan."
        )


def _held(limit: int | None) -> int:
    """What the process holds; where that is limited, without what was freed."""
    if limit is not None:
        give_back_freed_memory()
    return resident_bytes()


def prediction_bytes(size: Size, plan: Plan, dtype: torch.dtype, *, on_cpu: bool) -> int:
    """Estimate of what a prediction takes beside its prepared image, which is there already."""
    patch = (1,) * (3 - plan.topology.rank) + plan.topology.patch
    plane = prod(max(a, b) for a, b in zip(size.prepared[1:], patch[1:], strict=True))
    slices = patch[0] * plane * (plan.classes * dtype.itemsize + 4)
    window = prod(patch) * 4 * (plan.topology.features[0] * FEATURE_MAPS + 2 * plan.classes)
    one = 4 * plan.classes * max(plane, prod(size.source[1:]))
    pieces = RESTORED_PIECES * max(PIECE_BYTES, one)
    classes = 3 * prod(size.source)  # as classes, turned back, and read back from disk
    if size.mapped:
        classes += 16 * (prod(size.source) + plan.classes * max(BLOCK_VOXELS, one // plan.classes))
    return classes + pieces + (slices + window if on_cpu else 0)
