"""The files of one training: metrics, curves, models and the state to resume from."""

import json
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

import segttt
from segttt.config.plan import Plan
from segttt.engine.checkpoint import load_state, save_state
from segttt.engine.learner import Learner
from segttt.engine.train import Epoch
from segttt.io.files import write_text
from segttt.io.models import save_tensors
from segttt.io.workspace import write_json
from segttt.report.curves import curves_svg

SMOOTHING = 0.9  # of the pseudo-Dice that picks best.safetensors (nnU-Net)


@dataclass
class Recorder:
    """Keeps each epoch of one training; every write is atomic."""

    folder: Path
    plan: Plan
    about: dict[str, Any]
    """Which training this is: fold and seed."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """One entry per finished epoch."""
    smooth_dice: float | None = None
    best_dice: float | None = None
    finished: bool = False

    @property
    def spent_seconds(self) -> float:
        """Seconds of training so far."""
        return self.history[-1]["spent_seconds"] if self.history else 0.0

    def describe(self, learner: Learner, **facts: Any) -> None:
        """Write what a reader needs to repeat this training."""
        content = {
            "segttt": segttt.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "device": str(learner.compute.device),
            "dtype": str(learner.compute.dtype),
            "threads": torch.get_num_threads(),
            **facts,
        }
        write_json(self.folder / "env.json", content)

    def resume(self, learner: Learner) -> list[str] | None:
        """Restore the newest readable state; sentences for the user, None where there is none."""
        found = load_state(self.folder / "state", learner)
        if found is None:
            return None
        record, notices = found
        self.history = record["history"]
        self.smooth_dice, self.best_dice = record["smooth_dice"], record["best_dice"]
        self.finished = record["finished"]
        return notices

    def keep(self, epoch: Epoch, learner: Learner) -> None:
        """Write an epoch: metrics and curves, the models that it improves or ends, the state."""
        self.smooth_dice = _smoothed(self.smooth_dice, epoch.mean_dice)
        self.finished = epoch.finished
        self.history.append(
            {**asdict(epoch), "mean_dice": epoch.mean_dice, "smooth_dice": self.smooth_dice}
        )
        self._draw()
        if self.smooth_dice is not None and self.smooth_dice > (self.best_dice or -1.0):
            self.best_dice = self.smooth_dice
            self._save_model("best.safetensors", learner)
        if epoch.finished:
            self._save_model("model.safetensors", learner)
        record = {
            "epoch": epoch.epoch,
            "finished": self.finished,
            "smooth_dice": self.smooth_dice,
            "best_dice": self.best_dice,
            "history": self.history,
        }
        save_state(self.folder / "state", learner, record)

    def _draw(self) -> None:
        lines = "".join(json.dumps(one) + "\n" for one in self.history)
        write_text(self.folder / "metrics.jsonl", lines)
        names = list(self.plan.labels.values())
        write_text(self.folder / "curves.svg", curves_svg(self.history, names))

    def _save_model(self, name: str, learner: Learner) -> None:
        metadata = model_metadata(self.plan, **self.about)
        save_tensors(self.folder / name, learner.weights(), metadata)


def model_metadata(plan: Plan, **about: Any) -> dict[str, str]:
    """What travels with the weights; the same training gives the same bytes."""
    about = {"segttt": segttt.__version__, **about}
    return {"plan": plan.model_dump_json(), "about": json.dumps(about)}


def _smoothed(old: float | None, new: float | None) -> float | None:
    if new is None or old is None:
        return new if old is None else old
    return SMOOTHING * old + (1 - SMOOTHING) * new
