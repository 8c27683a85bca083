"""Trained models on disk: find them, check them, build their networks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from segttt.config.plan import Plan
from segttt.config.text import parse_json
from segttt.errors import UsageError
from segttt.io.models import Kind, difference, load_tensors, read_kinds
from segttt.networks.build import build
from segttt.networks.uninitialised import Uninitialised

LARGEST_TABLES = 1 << 30  # bytes; scan orders of a patch of 128 x 128 x 128 take 32 MiB each


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
    names = [path.parent.parent.name.removeprefix("fold") for path in found]
    missing = [fold for fold in folds or () if fold not in names]
    if missing or not found:
        raise UsageError(
            f"{place}: holds no finished training (no model.safetensors"
            f"{' of fold ' + ', '.join(missing) if missing else ''}). Run `segttt train` first."
        )
    return [path for path, fold in zip(found, names, strict=True) if not folds or fold in folds]


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
    found, metadata = read_kinds(path)
    if "plan" not in metadata:
        raise UsageError(f"{path}: carries no plan, so it is not a model of segttt.")
    try:
        plan = Plan.parse(metadata["plan"].encode())
    except ValueError as error:
        raise UsageError(f"{path}: its plan is not valid: {error}.") from error
    if fault := difference(found, _kinds(plan, path)):
        raise UsageError(f"{path}: its weights do not fit its plan ({fault}). Is it intact?")
    tensors, _ = load_tensors(path, finite=True)
    with Uninitialised():
        network = _network(plan)
    network.load_state_dict(tensors, strict=True)
    return plan, network, _about(metadata)


def _network(plan: Plan) -> nn.Module:
    chosen = torch.get_default_dtype()  # of a program that embeds us, maybe float64
    torch.set_default_dtype(torch.float32)
    try:
        return build(
            plan.network, plan.topology, len(plan.channels), plan.classes, deep_supervision=False
        )
    finally:
        torch.set_default_dtype(chosen)


def _kinds(plan: Plan, path: Path) -> dict[str, Kind]:
    """The tensors that a plan's network has, found without allocating any of them.

    A stranger's plan may ask for a network that no memory holds, so the file is compared first.
    """
    try:
        with torch.device("meta"), Uninitialised():
            network = _network(plan)
    except (UsageError, ValueError, RuntimeError, TypeError, ArithmeticError, LookupError) as error:
        raise UsageError(
            f"{path}: its plan describes no network that can be built ({str(error)[:300]}). "
            "Use another model."
        ) from error
    kinds = {name: Kind(tuple(one.shape), one.dtype) for name, one in network.state_dict().items()}
    tables = sum(one.nbytes for name, one in network.named_buffers() if name not in kinds)
    if tables > LARGEST_TABLES:
        raise UsageError(
            f"{path}: its plan asks for tables of {tables >> 20} MiB beside its weights, more than "
            "any network needs. Use another model."
        )
    return kinds


def _about(metadata: dict[str, str]) -> dict[str, Any]:
    try:
        about = parse_json(metadata.get("about", "{}"))
    except ValueError:
        return {}
    kinds = {"fold": (int, str), "seed": (int,)}
    told = about if isinstance(about, dict) else {}
    return {name: told[name] for name, kind in kinds.items() if isinstance(told.get(name), kind)}
