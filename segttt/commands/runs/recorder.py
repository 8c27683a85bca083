"""The files of one training: metrics, curves, models and the state to resume from."""

import json
import platform
import resource
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

import segttt
from segttt.commands.runs.claim import MODEL
from segttt.config.plan import Plan
from segttt.engine.checkpoint import load_state, save_state
from segttt.engine.learner import Learner
from segttt.engine.train import Epoch, Start
from segttt.io.files import write_text
from segttt.io.models import save_tensors
from segttt.io.workspace import write_json
from segttt.report.curves import curves_svg

SMOOTHING = 0.9  # of the pseudo-Dice that picks best.safetensors (nnU-Net)


@dataclass(frozen=True)
class Paused:
    """An epoch that was not finished."""

    losses: Sequence[float]
    """Of the steps that were made."""
    seconds: float
    """That these steps took."""
    spent_seconds: float
    """Of the whole training."""


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
    exact: bool = False
    """A number was none in a lower precision, so the training went on in fp32."""
    paused: Paused | None = None
    """What was made of the epoch in which the last session was asked to end."""

    @property
    def spent_seconds(self) -> float:
        """Seconds of training so far."""
        if self.paused:
            return self.paused.spent_seconds
        return self.history[-1]["spent_seconds"] if self.history else 0.0

    @property
    def start(self) -> Start:
        """Where the training goes on."""
        epoch = self.history[-1]["epoch"] + 1 if self.history else 0
        if self.paused is None:
            return Start(epoch)
        return Start(epoch, tuple(self.paused.losses), self.paused.seconds)

    @property
    def peak_bytes(self) -> int:
        """Highest memory of the training so far; 0 before the first epoch."""
        return self.history[-1].get("peak_bytes", 0) if self.history else 0

    def describe(self, learner: Learner, **facts: Any) -> None:
        """Write what a reader needs to repeat this training, and begin to measure its memory."""
        if learner.compute.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(learner.compute.device)
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
        self.exact = record["exact"]
        self.paused = Paused(**record["paused"]) if record["paused"] else None
        if self.finished and not (self.folder / MODEL).is_file():
            self._save_model(MODEL, learner)
        return notices

    def roll_back(self, learner: Learner) -> None:
        """Restore the last state, or leave a fresh learner as it is; from here on in fp32."""
        self.resume(learner)
        self.exact = True

    def pause(self, paused: Paused, learner: Learner) -> None:
        """Write the state in the middle of an epoch."""
        self.paused = paused
        self._save_state(learner)

    def keep(self, epoch: Epoch, learner: Learner) -> None:
        """Write an epoch: metrics and curves, the models that it improves or ends, the state."""
        self.smooth_dice = _smoothed(self.smooth_dice, epoch.mean_dice)
        self.finished = epoch.finished
        self.history.append(
            {
                **asdict(epoch),
                "mean_dice": epoch.mean_dice,
                "smooth_dice": self.smooth_dice,
                "peak_bytes": max(self.peak_bytes, peak_bytes(learner.compute.device)),
            }
        )
        self._draw()
        if self.smooth_dice is not None and self.smooth_dice > (self.best_dice or -1.0):
            self.best_dice = self.smooth_dice
            self._save_model("best.safetensors", learner)
        self.paused = None
        self._save_state(learner)
        if epoch.finished:  # after the state, from which `resume` would write it again
            self._save_model(MODEL, learner)

    def _save_state(self, learner: Learner) -> None:
        record = {
            "epoch": self.start.epoch - (self.paused is None),
            "finished": self.finished,
            "exact": self.exact,
            "smooth_dice": self.smooth_dice,
            "best_dice": self.best_dice,
            "history": self.history,
            "paused": asdict(self.paused) if self.paused else None,
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


def peak_bytes(device: torch.device) -> int:
    """Highest memory so far: of tensors on a GPU, resident in this process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _smoothed(old: float | None, new: float | None) -> float | None:
    if new is None or old is None:
        return new if old is None else old
    return SMOOTHING * old + (1 - SMOOTHING) * new
