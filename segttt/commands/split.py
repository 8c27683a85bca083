"""Folds for cross-validation: by patient, and stratified by what the labels contain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segttt.cases import Failure
from segttt.cluster.local import map_cases
from segttt.commands.datasets.patients import groups_of, with_patients
from segttt.commands.watch import Watch
from segttt.config.dataset import CaseFiles, Dataset, Fold
from segttt.config.splits import dump_splits
from segttt.errors import DataError, SegtttError, UsageError
from segttt.io.check import case_of
from segttt.io.files import write_text
from segttt.io.layouts.read import read_dataset
from segttt.io.volumes import read_truth
from segttt.planning.folds import kfold
from segttt.planning.stratify import stratified

Volumes = dict[str, dict[int, float]]
"""Id -> label -> volume in mm3 (pictures: pixels)."""


@dataclass(frozen=True)
class Request:
    """How the folds are to be drawn."""

    folds: int = 5
    seed: int = 12345
    by_patient: bool = False
    patient: str | None = None
    """A regular expression whose one group is the patient; it implies `by_patient`."""
    stratified: bool = False
    instances: bool = False
    workers: int = 1


@dataclass(frozen=True)
class Split:
    """Folds, and what the labels of their validation cases contain."""

    folds: tuple[Fold, ...]
    cases: int
    patients: int
    labels: Mapping[str, Sequence[int]]
    """Name -> validation cases that have it, per fold."""
    foreground_mm3: Sequence[float]
    """Mean over the validation cases of each fold; of pictures in pixels."""
    failures: Sequence[Failure]


def split(data: Path, request: Request, watch: Watch) -> Split:
    """Draw the folds; without any wish they are nnU-Net's. Cases that cannot be read are left out.

    A `UsageError` where patients are wanted and the data name none.
    """
    dataset, failures = read_dataset(data, instances=request.instances)
    dataset = with_patients(dataset, request.patient)
    volumes, broken = _volumes(dataset, request, watch)
    dataset = dataset.without({one.id for one in broken})
    groups = groups_of(dataset)
    folds = _draw(dataset, groups, volumes, request, watch)
    return Split(
        folds,
        len(dataset.cases),
        len(groups),
        _presence(folds, volumes, dataset),
        tuple(_mean_mm3(fold, volumes) for fold in folds),
        [*failures, *broken],
    )


def write(drawn: Split, out: Path, *, force: bool = False) -> None:
    """Write the folds atomically; a `UsageError` where the file exists, unless `force`."""
    if out.exists() and not force:
        raise UsageError(f"{out}: exists already. Choose another name, or add --force.")
    write_text(out, dump_splits(drawn.folds))


def _draw(
    dataset: Dataset,
    groups: Mapping[str, Sequence[str]],
    volumes: Volumes,
    request: Request,
    watch: Watch,
) -> tuple[Fold, ...]:
    ids = [case.id for case in dataset.cases]
    grouped = request.by_patient or request.patient is not None
    named = any(case.patient for case in dataset.cases)
    if grouped and not named:
        raise UsageError(
            "--by-patient: the data name no patients. Add --patient REGEX, or a manifest whose "
            "cases have a patient."
        )
    if named and not grouped:
        watch.note(
            f"The data name {len(groups)} patients of {len(ids)} cases; --by-patient keeps cases "
            "of one patient on one side."
        )
    if not grouped and not request.stratified:
        sides = kfold(ids, request.folds, request.seed)
        return tuple(Fold(train=train, val=val) for train, val in sides)
    units = groups if grouped else {one: [one] for one in ids}
    return stratified(units, volumes if request.stratified else {}, request.folds, request.seed)


def _volumes(dataset: Dataset, request: Request, watch: Watch) -> tuple[Volumes, list[Failure]]:
    """What every label contains, and the labels that cannot be read."""

    def one(files: CaseFiles) -> dict[int, float]:
        truth = read_truth(case_of(files))
        if truth is None:
            return {}
        values, counts = np.unique(truth[0], return_counts=True)
        found = {int(v): float(n) * truth[1].voxel_mm3 for v, n in zip(values, counts, strict=True)}
        found.pop(0, None)
        return {1: sum(found.values())} if dataset.instances and found else found

    volumes: Volumes = {}
    broken: list[Failure] = []
    results = map_cases(one, dataset.cases, workers=request.workers)
    for files, result in watch.track(results, "read labels", len(dataset.cases)):
        if isinstance(result, DataError):
            broken.append(Failure(files.id, "check", str(result)))
        elif isinstance(result, SegtttError):
            raise result
        else:
            volumes[files.id] = result
    return volumes, broken


def _presence(
    folds: Sequence[Fold], volumes: Volumes, dataset: Dataset
) -> dict[str, tuple[int, ...]]:
    names = {1: "objects"} if dataset.instances else dataset.labels
    values = sorted({*names, *(value for found in volumes.values() for value in found)})
    return {
        names.get(value, f"label_{value}"): tuple(
            sum(value in volumes[one] for one in fold.val) for fold in folds
        )
        for value in values
    }


def _mean_mm3(fold: Fold, volumes: Volumes) -> float:
    return sum(sum(volumes[one].values()) for one in fold.val) / len(fold.val)
