"""Window, stages and batch that fit the memory budget."""

from dataclasses import dataclass
from math import ceil, prod
from typing import Literal

from segttt.config.network import Topology
from segttt.planning.budget import BUDGETS, Budget, plain_elements, resenc_elements
from segttt.planning.topology import default_max_features, make_topology

START_EDGE = {2: 2048, 3: 256}
"""Edge of the first window tried, as a square or cube of equal physical size."""
LARGEST_EDGE = 4096
SMALLEST_EDGE = 4
SMALLEST_BATCH = 2


@dataclass(frozen=True)
class Limits:
    """What the search for a window must respect."""

    budget: Budget = BUDGETS["plain"]
    planner: Literal["v2.1", "v2.8"] = "v2.1"
    """v2.1 shrinks the window until the reference batch fits (2D: 12), v2.8 until 2 samples do."""
    width: int = 32
    max_features: int | None = None
    voxels: int | None = None
    """Upper bound of the window."""
    batch: int | None = None
    """Fixed batch; None: as many samples as the budget allows."""


def fit(
    spacing_mm: tuple[float, ...],
    median_shape: tuple[float, ...],
    classes: int,
    dataset_voxels: float,
    limits: Limits = Limits(),
) -> tuple[Topology, int]:
    """Stages and batch for cases of `median_shape` voxels at `spacing_mm`, (z, y, x) or (y, x).

    Starts from a large window of equal physical edges inside the median case and shortens the
    edge that covers most of its axis until the budget is met, or the window cannot get smaller.
    Source: nnU-Net v2.
    """
    topology = _shape_stages(spacing_mm, _start(spacing_mm, median_shape, limits), limits)
    while not _fits(topology, classes, limits):
        shorter = _shortened(topology, spacing_mm, median_shape, limits)
        if shorter is None:
            break
        topology = shorter
    return topology, limits.batch or batch_for(topology, classes, dataset_voxels, limits)


def batch_for(topology: Topology, classes: int, dataset_voxels: float, limits: Limits) -> int:
    """Samples that the budget allows, at least 2, and not too large a share of the dataset."""
    budget, rank = limits.budget, topology.rank
    affordable = round(
        budget.elements(rank) / _cost(topology, classes, budget) * budget.batch(rank)
    )
    covering = round(dataset_voxels * budget.dataset_share / prod(topology.patch))
    return max(min(affordable, covering), SMALLEST_BATCH)


def _start(
    spacing_mm: tuple[float, ...], median_shape: tuple[float, ...], limits: Limits
) -> tuple[int, ...]:
    rank = len(spacing_mm)
    voxels = limits.voxels or START_EDGE[rank] ** rank
    scale = (voxels * prod(spacing_mm)) ** (1 / rank)
    return tuple(
        max(1, min(round(scale / step), ceil(edge), LARGEST_EDGE))
        for step, edge in zip(spacing_mm, median_shape, strict=True)
    )


def _shape_stages(
    spacing_mm: tuple[float, ...], patch: tuple[int, ...], limits: Limits
) -> Topology:
    most = limits.max_features or default_max_features(limits.width, len(patch))
    return make_topology(spacing_mm, patch, width=limits.width, max_features=most)


def _cost(topology: Topology, classes: int, budget: Budget) -> int:
    return (resenc_elements if budget.residual else plain_elements)(topology, classes)


def _fits(topology: Topology, classes: int, limits: Limits) -> bool:
    budget, rank = limits.budget, topology.rank
    reference = budget.batch(rank)
    samples = limits.batch or (SMALLEST_BATCH if limits.planner == "v2.8" else reference)
    within = _cost(topology, classes, budget) * samples / reference <= budget.elements(rank)
    return within and (limits.voxels is None or prod(topology.patch) <= limits.voxels)


def _shortened(
    topology: Topology,
    spacing_mm: tuple[float, ...],
    median_shape: tuple[float, ...],
    limits: Limits,
) -> Topology | None:
    """The stages after shortening the edge that covers most of the median case; None at the end.

    The step is the divisor after a trial shortening: 256 with 5 poolings steps by 32 to 224,
    but 256 with 6 poolings would otherwise step by 64 and miss it.
    """
    patch, total = topology.patch, topology.total_stride
    free = [axis for axis, edge in enumerate(patch) if edge - total[axis] >= SMALLEST_EDGE]
    if not free:
        return None
    axis = max(free, key=lambda one: (patch[one] / median_shape[one], one))

    def less(amount: int) -> tuple[int, ...]:
        return tuple(edge - amount * (one == axis) for one, edge in enumerate(patch))

    trial = _shape_stages(spacing_mm, less(total[axis]), limits)
    shorter = _shape_stages(spacing_mm, less(trial.total_stride[axis]), limits)
    return shorter if prod(shorter.patch) < prod(patch) else None
