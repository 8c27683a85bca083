"""The facts of a model card, read from the files of a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segttt.commands.reports.sources import Sources
from segttt.config.fingerprint import Fingerprint
from segttt.config.plan import Plan
from segttt.config.report import Summary
from segttt.config.text import parse_json, read_json
from segttt.errors import UsageError
from segttt.io.files import digest
from segttt.io.workspace import Workspace
from segttt.networks.build import parameter_count
from segttt.report.model_card import Facts, Training


def facts_of(sources: Sources, summary: Summary) -> Facts | None:
    """What is known of the models behind the scores; None where no training is known."""
    if sources.run is None or not sources.trainings:
        return None
    plan = Plan.load(sources.trainings[0] / "plan.json")
    return Facts(
        plan=plan,
        dataset=sources.dataset.name if sources.dataset else plan.name,
        fingerprint=_fingerprint(sources.run),
        parameters=parameter_count(plan.network, plan.topology, len(plan.channels), plan.classes),
        trainings=tuple(_training(folder) for folder in sources.trainings),
        summary=summary,
        scored_on=_scored_on(sources),
    )


def read_metrics(training: Path) -> list[dict[str, Any]]:
    """The record of each epoch; empty where there is none."""
    path = training / "metrics.jsonl"
    if not path.is_file():
        return []
    try:
        return [parse_json(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    except ValueError as error:
        raise UsageError(f"{path}: is damaged ({error}). Take it away and try again.") from error


def _training(folder: Path) -> Training:
    about, metrics = _environment(folder), read_metrics(folder)
    weights = folder / "model.safetensors"
    return Training(
        fold=folder.parent.name.removeprefix("fold"),
        seed=int(folder.name.removeprefix("seed")),
        epochs=len(metrics),
        seconds=float(metrics[-1].get("spent_seconds", 0)) if metrics else 0.0,
        device=about.get("device"),
        precision=str(about["dtype"]).removeprefix("torch.") if "dtype" in about else None,
        n_training=len(about.get("training", ())),
        n_validation=len(about.get("validation", ())),
        peak_bytes=metrics[-1].get("peak_bytes") if metrics else None,
        segttt=about.get("segttt"),
        torch=about.get("torch"),
        sha256=digest(weights) if weights.is_file() else None,
    )


def _environment(folder: Path) -> Mapping[str, Any]:
    try:
        found = read_json(folder / "env.json")
    except UsageError:
        return {}
    return found if isinstance(found, dict) else {}


def _fingerprint(run: Path) -> Fingerprint | None:
    return Workspace(run).fingerprint() if (run / "fingerprint.json").is_file() else None


def _scored_on(sources: Sources) -> str:
    """In words: held out from the training, or seen by it."""
    scored = set(sources.predictions) & set(sources.truth)
    seen = _seen(sources.trainings)
    if sources.validation:
        known = all(folder.parent.name == "foldall" for folder in sources.trainings)
        return "the training's own cases" if known else "held out from the training"
    overlap = scored & seen
    if overlap:
        return f"{len(overlap)} of them were trained on"
    return "none of them among the training cases" if seen else "whether trained on is not known"


def _seen(trainings: Sequence[Path]) -> set[str]:
    return {case for folder in trainings for case in _environment(folder).get("training", ())}
