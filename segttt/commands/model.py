"""Trained models on disk: find them, check them, build their networks."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import nn

from segttt.config.plan import Plan
from segttt.config.strict import first_fault
from segttt.errors import UsageError
from segttt.io.models import load_tensors
from segttt.networks.build import build
from segttt.networks.uninitialised import Uninitialised


@dataclass(frozen=True)
class Model:
    """The networks of one plan, one per fold and seed."""

    plan: Plan
    networks: Sequence[nn.Module]
    files: Sequence[Path]
    about: Sequence[dict[str, Any]]
    """What each file says of its training: fold and seed."""


def find_models(place: Path, folds: Sequence[str] | None = None) -> list[Path]:
    """The model files at or below `place`, optionally of some folds only."""
    if place.is_file():
        return [place]
    found = sorted(place.rglob("model.safetensors"))
    if folds:
        found = [path for path in found if path.parent.parent.name.removeprefix("fold") in folds]
    if not found:
        raise UsageError(
            f"{place}: holds no finished training (no model.safetensors"
            f"{' of folds ' + ', '.join(folds) if folds else ''}). Run `segttt train` first."
        )
    return found


def load_model(place: Path, folds: Sequence[str] | None = None) -> Model:
    """Load every model at `place`; all must share one plan, their logits are averaged."""
    files = find_models(place, folds)
    loaded = [_load(path) for path in files]
    plans = [plan for plan, *_ in loaded]
    if any(plan != plans[0] for plan in plans):
        options = "\n  ".join(sorted({str(path.parent.parent.parent) for path in files}))
        raise UsageError(
            f"{place}: holds trainings of several plans. Name one of them:\n  {options}"
        )
    _, networks, about = zip(*loaded, strict=True)
    return Model(plans[0], networks, files, about)


def _load(path: Path) -> tuple[Plan, nn.Module, dict[str, Any]]:
    tensors, metadata = load_tensors(path)
    if "plan" not in metadata:
        raise UsageError(f"{path}: carries no plan, so it is not a model of segttt.")
    try:
        plan = Plan.model_validate_json(metadata["plan"])
    except ValidationError as error:
        raise UsageError(f"{path}: its plan is not valid: {first_fault(error)}.") from error
    with Uninitialised():
        network = build(
            plan.network, plan.topology, len(plan.channels), plan.classes, deep_supervision=False
        )
    try:
        network.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise UsageError(f"{path}: its weights do not fit its plan. Is the file intact?") from error
    return plan, network, _about(metadata)


def _about(metadata: dict[str, str]) -> dict[str, Any]:
    try:
        about = json.loads(metadata.get("about", "{}"))
    except ValueError:
        return {}
    return about if isinstance(about, dict) else {}
