"""A folder of scans in, a folder of segmentations out."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from segttt.cases import Case, Failure, Volume
from segttt.commands.model import Model, load_model
from segttt.commands.segment import segment_case
from segttt.commands.watch import Watch
from segttt.config.overrides import override
from segttt.engine import compute as computing
from segttt.engine.predict import Predictor
from segttt.errors import DataError, LayoutError, UsageError
from segttt.io.files import digest, make_folder
from segttt.io.layouts.inputs import list_inputs
from segttt.io.volumes import segmentation_name, to_segmentation, write_segmentation
from segttt.io.workspace import write_json


@dataclass(frozen=True)
class Options:
    """How to predict, beyond the model's plan."""

    device: str = "auto"
    settings: dict[str, Any] | None = None
    folds: Sequence[str] | None = None
    skip_done: bool = False


@dataclass(frozen=True)
class Predicted:
    """What was written and what was not."""

    out: Path
    done: Sequence[str]
    skipped: Sequence[str]
    failures: Sequence[Failure]


def predict(scans: Path, model: Path, out: Path, options: Options, watch: Watch) -> Predicted:
    """Segment every scan at `scans`; cases that fail are named and the others go on."""
    loaded = load_model(model, options.folds)
    cases, failures = list_inputs(scans, len(loaded.plan.channels))
    if not cases:
        reason = f" {failures[0].reason}" if failures else ""
        raise LayoutError(f"{scans}: holds no scan that can be read.{reason}")
    make_folder(out)
    predictor = _predictor(loaded, options)
    manifest = _manifest(out, loaded, predictor, keep=options.skip_done)
    todo = [case for case in cases if not (options.skip_done and _is_done(out, manifest, case))]
    failures = list(failures)
    for case in watch.track(todo, "predict", len(todo)):
        started = time.perf_counter()
        try:
            entry = _one(predictor, case, out)
        except DataError as error:
            failures.append(Failure(case.id, "predict", str(error)))
            continue
        entry["seconds"] = round(time.perf_counter() - started, 3)
        manifest["cases"][case.id] = entry
        write_json(out / "manifest.json", manifest)
    write_json(out / "failures.json", [asdict(failure) for failure in failures])
    done = [case.id for case in todo if case.id not in {failure.id for failure in failures}]
    skipped = [case.id for case in cases if case not in todo]
    return Predicted(out, done, skipped, failures)


def plan_prediction(
    scans: Path, model: Path, options: Options
) -> tuple[Sequence[Path], Sequence[Case]]:
    """The model files and cases that `predict` would use; nothing is written."""
    loaded = load_model(model, options.folds)
    cases, _ = list_inputs(scans, len(loaded.plan.channels))
    return loaded.files, cases


def _predictor(model: Model, options: Options) -> Predictor:
    computing.keep_freed_memory()
    plan = override(model.plan, options.settings or {})
    compute = computing.choose(options.device, plan.train.precision)
    return Predictor(model.networks, plan, compute)


def _one(predictor: Predictor, case: Case, out: Path) -> dict[str, Any]:
    """Segment and write one case; returns its manifest entry."""
    volume, classes = segment_case(predictor, case)
    labels = predictor.plan.labels
    target = out / segmentation_name(case)
    write_segmentation(target, to_segmentation(classes, volume, labels))
    return {
        "file": target.name,
        "sha256": digest(target),
        "shape": list(volume.source.shape),
        "spacing_mm": list(volume.source.spacing_mm),
        "volumes_ml": _volumes_ml(classes, volume, labels),
    }


def _volumes_ml(classes: Any, volume: Volume, labels: dict[int, str]) -> dict[str, float]:
    return {
        name: round(float((classes == index).sum()) * volume.grid.voxel_mm3 / 1000, 4)
        for index, name in enumerate(labels.values(), start=1)
    }


def _manifest(out: Path, model: Model, predictor: Predictor, *, keep: bool) -> dict[str, Any]:
    """A new manifest; with `keep` the entries of an earlier one by the same model and settings."""
    fresh = {
        "models": [digest(path) for path in model.files],
        "plan": model.plan.digest(),
        "settings": predictor.plan.predict.model_dump(mode="json"),
        "labels": {str(value): name for value, name in model.plan.labels.items()},
        "instances": model.plan.instances,
        "evaluate": model.plan.evaluate.model_dump(mode="json"),
        "cases": {},
    }
    path = out / "manifest.json"
    if not keep or not path.is_file():
        return fresh
    try:
        old = json.loads(path.read_text(encoding="utf-8"))
        same = all(old[key] == fresh[key] for key in ("models", "settings"))
    except (OSError, ValueError, KeyError, TypeError):
        old, same = {}, False
    if not same:
        raise UsageError(
            f"{path}: is of another model or other settings, so --skip-done would mix results. "
            "Choose another --out."
        )
    return {**fresh, "cases": old["cases"]}


def _is_done(out: Path, manifest: dict[str, Any], case: Case) -> bool:
    """Whether the output is there and is, byte for byte, what was written."""
    entry = manifest["cases"].get(case.id)
    if not entry:
        return False
    path = out / entry["file"]
    return path.is_file() and digest(path) == entry["sha256"]
