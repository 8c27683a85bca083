"""A folder of scans in, a folder of segmentations out."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from segttt.cases import Case, Failure, Remedies, Volume
from segttt.cluster.memory import memory_of
from segttt.commands.predictions.facts import model_facts
from segttt.commands.predictions.model import Model, load_model
from segttt.commands.predictions.outputs import (
    Output,
    is_intact,
    remove_outputs,
    require_apart,
    write_cells,
    write_outputs,
)
from segttt.commands.predictions.segment import read_prepared
from segttt.commands.predictions.soft_maps import Soft, room, write_soft_maps
from segttt.commands.watch import Watch
from segttt.config.overrides import override
from segttt.config.text import read_json
from segttt.engine import compute as computing
from segttt.engine.predict import SlidingWindow
from segttt.errors import CASE_ERRORS, CaseMemoryError, LayoutError, UsageError
from segttt.io.files import digest
from segttt.io.layouts.inputs import Inputs, list_scans
from segttt.io.volumes import segmentation_name, to_segmentation
from segttt.io.workspace import locked, write_json


@dataclass(frozen=True)
class Options:
    """How to predict, beyond the model's plan."""

    device: str = "auto"
    settings: dict[str, Any] | None = None
    folds: Sequence[str] | None = None
    skip_done: bool = False
    series: Sequence[str] = ()
    """Conditions that choose among DICOM series."""
    output: Output = field(default_factory=Output)
    soft: Soft = field(default_factory=Soft)
    max_ram: int | None = None
    """Bytes of memory that the process must not exceed; None: what the machine has."""
    remedies: Remedies = field(default_factory=Remedies)


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
    inputs = _inputs(scans, loaded, options)
    cases, failures = inputs.cases, inputs.failures
    if not cases:
        reason = f" {failures[0].reason}" if failures else ""
        raise LayoutError(f"{scans}: holds no scan that can be read.{reason}")
    require_apart(
        (out / segmentation_name(case) for case in cases),
        (path for case in cases for path in case.images),
    )
    if inputs.skipped:
        watch.note(f"Left out, as they are no volumes: {inputs.skipped}")
    with locked(out, "predicts", rooms=("entropy", "probabilities/*", "instances")):
        return _predict(loaded, inputs, out, options, watch)


def _predict(loaded: Model, inputs: Inputs, out: Path, options: Options, watch: Watch) -> Predicted:
    cases = inputs.cases
    predictor = _predictor(loaded, options, watch)
    manifest = _manifest(out, loaded, predictor, keep=options.skip_done)
    former = _former(out)
    kept = cases if options.skip_done else ()
    done = [case.id for case in kept if _is_done(out, manifest, case, options)]
    todo = [case for case in cases if case.id not in done]
    failures = list(inputs.failures)
    for case in watch.track(todo, "predict", len(todo)):
        started = time.perf_counter()
        try:
            with memory_of(case.id):
                entry = _one(predictor, case, out, options)
        except CASE_ERRORS as error:
            stage = "memory" if isinstance(error, CaseMemoryError) else "predict"
            failures.append(Failure(case.id, stage, str(error)))
            continue
        entry["seconds"] = round(time.perf_counter() - started, 3)
        manifest["cases"][case.id] = entry
        write_json(out / "manifest.json", manifest)
    failed = {failure.id for failure in failures}
    for case_id in failed - set(done):
        manifest["cases"].pop(case_id, None)
        remove_outputs(out, former.get(case_id))
    write_json(out / "manifest.json", manifest)
    write_json(out / "failures.json", [asdict(failure) for failure in failures])
    return Predicted(out, [case.id for case in todo if case.id not in failed], done, failures)


def plan_prediction(
    scans: Path, model: Path, options: Options
) -> tuple[Sequence[Path], Sequence[Case]]:
    """The model files and cases that `predict` would use; nothing is written."""
    loaded = load_model(model, options.folds)
    return loaded.files, _inputs(scans, loaded, options).cases


def _inputs(scans: Path, model: Model, options: Options) -> Inputs:
    return list_scans(scans, len(model.plan.channels), options.series, options.remedies)


def _predictor(model: Model, options: Options, watch: Watch) -> SlidingWindow:
    if options.max_ram is None:  # what is kept would count against the limit
        computing.keep_freed_memory()
    computing.use_threads()
    plan = override(model.plan, options.settings or {})
    compute = computing.choose(options.device, plan.train.precision, plan.train.scan)
    window = SlidingWindow(model.networks, plan, compute, max_ram=options.max_ram, tell=watch.note)
    if options.max_ram is not None:
        _load_code(window)
    window.progress = lambda done, total: watch.status(f"window {done} of {total}")
    return window


def _load_code(window: SlidingWindow) -> None:
    """Load what the first window and the first file written load, up to 0.4 GiB: memory that counts
    as used before the first case asks how much is left.
    """
    import segttt.io.itk  # noqa: F401

    shape = (len(window.plan.channels), *window.patch)
    for _ in window.slabs(np.zeros(shape, np.float32)):
        pass


def _one(predictor: SlidingWindow, case: Case, out: Path, options: Options) -> dict[str, Any]:
    """Segment and write one case; returns its manifest entry."""
    volume, prepared = read_prepared(predictor, case)
    labels, soft = predictor.plan.labels, options.soft
    with room(out, volume, predictor.plan.classes, soft) as maps:
        classes = predictor.segment(prepared, maps)
        segmentation = to_segmentation(classes, volume, labels)
        written = write_outputs(out, case, segmentation, labels, options.output)
        if maps:
            written["maps"] = write_soft_maps(out, volume, maps, labels, soft)
        if predictor.plan.instances:
            written.setdefault("maps", []).append(write_cells(out, volume, classes))
    return {
        **written,
        "shape": list(volume.source.shape),
        "spacing_mm": list(volume.source.spacing_mm),
        "volumes_ml": _volumes_ml(classes, volume, labels),
        **({"remedies": list(volume.remedies)} if volume.remedies else {}),
    }


def _volumes_ml(classes: Any, volume: Volume, labels: dict[int, str]) -> dict[str, float]:
    return {
        name: round(float((classes == index).sum()) * volume.grid.voxel_mm3 / 1000, 4)
        for index, name in enumerate(labels.values(), start=1)
    }


def _manifest(out: Path, model: Model, predictor: SlidingWindow, *, keep: bool) -> dict[str, Any]:
    """A new manifest; with `keep` the entries of an earlier one by the same model and settings."""
    fresh = {
        "models": [digest(path) for path in model.files],
        "networks": [facts.model_dump(mode="json") for facts in model_facts(model)],
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
        old = read_json(path)
        same = all(old[key] == fresh[key] for key in ("models", "settings"))
        same = same and all(isinstance(entry, dict) for entry in old["cases"].values())
    except (UsageError, LookupError, TypeError, AttributeError):
        old, same = {}, False
    if not same:
        raise UsageError(
            f"{path}: is of another model or other settings, so --skip-done would mix results. "
            "Choose another --out."
        )
    return {**fresh, "cases": old["cases"]}


def _former(out: Path) -> dict[str, Any]:
    """The cases of the manifest that an earlier prediction has left."""
    try:
        cases = read_json(out / "manifest.json")["cases"]
        return {case: entry for case, entry in cases.items() if isinstance(entry, dict)}
    except (UsageError, LookupError, TypeError, AttributeError):
        return {}


def _is_done(out: Path, manifest: dict[str, Any], case: Case, options: Options) -> bool:
    """Whether the outputs are there, maps too, and are, byte for byte, what was written."""
    entry = manifest["cases"].get(case.id)
    if not entry:
        return False
    found = {Path(one["file"]).parts[0] for one in entry.get("maps", ())}
    wanted = {*options.soft.kinds, *(("instances",) if manifest["instances"] else ())}
    return found >= wanted and is_intact(out, entry, options.output.formats)
