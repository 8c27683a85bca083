"""Which classes a plan has, and how they are scored, where dataset and preset may disagree."""

import re

from segttt.config.dataset import BOUNDARY, INTERIOR, Dataset
from segttt.config.plan import Evaluation
from segttt.config.preset import Preset
from segttt.errors import UsageError

DEFAULT_IOU = 0.5


def has_instances(dataset: Dataset, preset: Preset | None) -> bool:
    """Whether label files number objects: as the dataset says, else as the preset expects."""
    expected = preset is not None and preset.dataset is not None and preset.dataset.instances
    return dataset.instances or (expected and not dataset.labels)


def plan_labels(dataset: Dataset, preset: Preset | None) -> dict[int, str]:
    """Value -> name, sorted by value: the dataset's where it declares labels, else the preset's."""
    if has_instances(dataset, preset):
        return {1: INTERIOR, 2: BOUNDARY}
    labels = dataset.labels or preset_labels(preset)
    if not labels:
        raise UsageError(
            f"{dataset.name}: its labels have no names. Declare them under 'labels' in its "
            "dataset.json, or choose a preset that knows them."
        )
    return dict(sorted(labels.items()))


def preset_labels(preset: Preset | None) -> dict[int, str]:
    """The labels of the dataset that a preset was made for; empty where it names none."""
    return {} if preset is None or preset.dataset is None else preset.dataset.labels


def differing_values(dataset: Dataset, preset: Preset | None) -> list[int]:
    """Label values whose names differ between dataset and preset, where both declare labels."""
    ours, theirs = dataset.labels, preset_labels(preset)
    if not ours or not theirs:
        return []
    return [
        value
        for value in sorted({*ours, *theirs})
        if _plain(ours.get(value, "")) != _plain(theirs.get(value, ""))
    ]


def plan_evaluation(dataset: Dataset, preset: Preset | None) -> Evaluation:
    """The preset's evaluation, its tolerances carried over by name where label values differ."""
    if preset is None or preset.evaluate == Evaluation():
        cells = has_instances(dataset, preset)
        return Evaluation(metrics=("f1",), iou=DEFAULT_IOU) if cells else Evaluation()
    evaluation = preset.evaluate
    if not differing_values(dataset, preset):
        return evaluation
    names = {value: _plain(name) for value, name in preset_labels(preset).items()}
    tolerance = {names[value]: mm for value, mm in evaluation.nsd_mm.items() if value in names}
    cropped = {names[value] for value in evaluation.z_crop_labels if value in names}
    ours = {value: _plain(name) for value, name in plan_labels(dataset, preset).items()}
    nsd_mm = {value: tolerance[name] for value, name in ours.items() if name in tolerance}
    scored = bool(nsd_mm) or evaluation.nsd_px is not None
    return evaluation.model_copy(
        update={
            "metrics": tuple(one for one in evaluation.metrics if one != "nsd" or scored),
            "nsd_mm": nsd_mm,
            "z_crop_labels": tuple(value for value, name in ours.items() if name in cropped),
        }
    )


def _plain(name: str) -> str:
    """A name without case and punctuation: `Right kidney` and `right_kidney` are one."""
    return re.sub(r"[\W_]+", "_", name.strip().lower())
