"""From a dataset and its fingerprint to a plan. What a preset fixes is never derived anew."""

from math import prod
from typing import Literal

from pydantic import ValidationError

from segttt.config.dataset import Dataset
from segttt.config.fingerprint import Fingerprint
from segttt.config.network import NetworkSpec, Topology
from segttt.config.plan import Inference, Plan
from segttt.config.preset import Preset
from segttt.config.recipe import Augmentation, Recipe
from segttt.config.strict import first_fault
from segttt.errors import DataError, UsageError
from segttt.planning.budget import budget_of
from segttt.planning.classes import (
    differing_values,
    has_instances,
    plan_evaluation,
    plan_labels,
    preset_labels,
)
from segttt.planning.lowres import lowres_exists
from segttt.planning.normalisation import normalisations
from segttt.planning.patch import Limits, batch_for, fit
from segttt.planning.spacing import PlannedGrid, plan_grid

DUMMY_2D_ABOVE = 3.0
"""Patches this much wider than deep are rotated and scaled in the plane only."""
OBLONG_ABOVE = 1.5
"""2D patches this much longer than wide are rotated a little only."""

Planner = Literal["v2.1", "v2.8"]


def make_plan(
    dataset: Dataset,
    fingerprint: Fingerprint,
    *,
    preset: Preset | None,
    network: NetworkSpec,
    planner: Planner = "v2.1",
    dims: Literal[2, 3] | None = None,
) -> Plan:
    """Everything between the files and the score; `dims` chooses slices (2) or volumes (3).

    Rules of nnU-Net v2; v2.1 is the planner behind the papers' 2D patches. Raises `UsageError`
    where preset and data contradict each other, `DataError` without any case.
    """
    if not fingerprint.cases:
        raise DataError(f"{dataset.name}: no training case could be used. Run `segttt data check`.")
    try:
        grid = plan_grid(fingerprint, preset, dims or _only_rank(network, preset))
        return _make_plan(dataset, fingerprint, preset, network, planner, grid)
    except ValidationError as error:
        raise UsageError(f"{dataset.name}: cannot be planned: {first_fault(error)}.") from error


def label_notice(dataset: Dataset, preset: Preset | None) -> str | None:
    """A sentence for the user where the labels of dataset and preset differ; None elsewhere."""
    values = differing_values(dataset, preset)
    if preset is None or not values:
        return None
    ours, theirs = dataset.labels, preset_labels(preset)
    return (
        f"The labels of {dataset.name} differ from those of preset '{preset.name}' in "
        f"{len(values)} values (value {values[0]}: {ours.get(values[0], 'no label')} against "
        f"{theirs.get(values[0], 'no label')}). Those of the dataset are used."
    )


def plan_augmentation(topology: Topology, preset: Preset | None) -> Augmentation:
    """The default augmentation with the rotation that suits the patch, then the preset's wishes."""
    patch = topology.patch
    if topology.rank == 2:
        oblong = max(patch) / min(patch) > OBLONG_ABOVE
        planned = {"rotation_deg": 15.0 if oblong else 180.0, "dummy_2d": False}
    else:
        flat = max(patch) / patch[0] > DUMMY_2D_ABOVE
        planned = {"rotation_deg": 180.0 if flat else 30.0, "dummy_2d": flat}
    return Augmentation.model_validate(planned | (preset.augment if preset else {}))


def _make_plan(
    dataset: Dataset,
    fingerprint: Fingerprint,
    preset: Preset | None,
    network: NetworkSpec,
    planner: Planner,
    grid: PlannedGrid,
) -> Plan:
    labels = plan_labels(dataset, preset)
    limits = _limits(preset, network, planner)
    cases = len(fingerprint.cases)
    topology, batch = _window(grid, len(labels) + 1, cases, preset, limits)
    return Plan(
        name=preset.name if preset else dataset.name,
        preset=preset.name if preset else None,
        planner=planner,
        channels=dataset.channels,
        labels=labels,
        instances=has_instances(dataset, preset),
        axes=grid.axes,
        spacing_mm=grid.spacing_mm,
        resample_z=grid.rank == 3,
        normalisation=normalisations(dataset, fingerprint, preset),
        topology=topology,
        network=network,
        batch=batch,
        batch_dice=_batch_dice(grid, topology, len(labels) + 1, preset, limits),
        augment=plan_augmentation(topology, preset),
        train=preset.train if preset else Recipe(),
        predict=preset.predict if preset else Inference(),
        evaluate=plan_evaluation(dataset, preset),
    )


def _only_rank(network: NetworkSpec, preset: Preset | None) -> int | None:
    """The rank of a network that has one only, where no preset has decided."""
    free = preset is None or preset.rank is None
    return network.ranks[0] if free and len(network.ranks) == 1 else None


def _limits(preset: Preset | None, network: NetworkSpec, planner: Planner) -> Limits:
    budget = budget_of(network)
    if preset is None:
        return Limits(budget=budget, planner=planner)
    return Limits(
        budget=budget,
        planner=planner,
        width=preset.width,
        max_features=preset.max_features,
        voxels=preset.patch_voxels,
        batch=preset.batch,
    )


def _window(
    grid: PlannedGrid, classes: int, cases: int, preset: Preset | None, limits: Limits
) -> tuple[Topology, int]:
    """Stages and batch, as fixed by the preset or fitted to the budget."""
    voxels = cases * prod(grid.median_shape)
    if preset and preset.topology:
        batch = preset.batch or batch_for(preset.topology, classes, voxels, limits)
        return preset.topology, batch
    in_network = 3 - grid.rank
    return fit(
        grid.spacing_mm[in_network:], grid.median_shape[in_network:], classes, voxels, limits
    )


def _batch_dice(
    grid: PlannedGrid, topology: Topology, classes: int, preset: Preset | None, limits: Limits
) -> bool:
    """Dice over the batch where a patch sees little of a case: in 2D, and beside a low-res plan."""
    if preset and preset.batch_dice is not None:
        return preset.batch_dice
    if grid.rank == 2:
        return True
    return lowres_exists(grid.spacing_mm, grid.median_shape, topology.patch, classes, limits)
