"""What is known of trained models from their files and the folders of their trainings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segttt.commands.predictions.model import Model
from segttt.config.plan import Plan
from segttt.config.report import ModelFacts
from segttt.config.text import MAX_BYTES, parse_json, read_bounded
from segttt.errors import UsageError


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
    seconds, peak = last.get("spent_seconds"), last.get("peak_bytes")
    return {
        "training_seconds": seconds if isinstance(seconds, int | float) else None,
        "training_peak_bytes": peak if isinstance(peak, int) else None,
    }


def _last_record(metrics: Path) -> dict[str, Any]:
    try:
        lines: Sequence[str] = read_bounded(metrics, MAX_BYTES).decode().splitlines()
        last = parse_json(lines[-1])
    except (UsageError, ValueError, IndexError):
        return {}
    return last if isinstance(last, dict) else {}
