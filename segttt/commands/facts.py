"""What is known of trained models from their files and the folders of their trainings."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segttt.commands.model import Model
from segttt.config.plan import Plan
from segttt.config.report import ModelFacts


def model_facts(model: Model) -> list[ModelFacts]:
    """Facts of each network, in its order; what a training did not leave beside it is unknown."""
    each = zip(model.networks, model.files, model.about, strict=True)
    return [
        ModelFacts(
            network=_run_name(path, model.plan),
            fold=str(about.get("fold", "unknown")),
            seed=int(about.get("seed", 0)),
            parameters=sum(parameter.numel() for parameter in network.parameters()),
            preset=model.plan.preset,
            **_course(path.parent / "metrics.jsonl"),
        )
        for network, path, about in each
    ]


def _run_name(path: Path, plan: Plan) -> str:
    """The name of RUN/foldF/seedS/model.safetensors; the network's for a file that lies alone."""
    seed, fold, run = (*path.absolute().parents, Path(), Path(), Path())[:3]
    trained = seed.name.startswith("seed") and fold.name.startswith("fold")
    return run.name if trained and run.name else plan.network.name


def _course(metrics: Path) -> dict[str, Any]:
    """Time and memory of a training from its last finished epoch."""
    last = _last_record(metrics)
    return {
        "training_seconds": last.get("spent_seconds"),
        "training_peak_bytes": last.get("peak_bytes"),
    }


def _last_record(metrics: Path) -> dict[str, Any]:
    try:
        lines: Sequence[str] = metrics.read_text(encoding="utf-8").splitlines()
        last = json.loads(lines[-1])
    except (OSError, ValueError, IndexError):
        return {}
    return last if isinstance(last, dict) else {}
