"""Train one network on one fold: resume, log, save, validate."""

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch

import segttt
from segttt.commands.validate import validate
from segttt.commands.watch import Watch
from segttt.config.dataset import Dataset
from segttt.config.plan import Plan
from segttt.config.report import Summary
from segttt.data.loader import Loader
from segttt.engine import compute as computing
from segttt.engine.checkpoint import load_state, save_state
from segttt.engine.learner import Learner
from segttt.engine.predict import Predictor
from segttt.engine.train import Clock, Epoch, Step, fit
from segttt.errors import UsageError
from segttt.io.files import write_text
from segttt.io.models import save_tensors
from segttt.io.store import StoredCase
from segttt.io.workspace import Workspace, write_json
from segttt.networks.build import build
from segttt.planning.folds import kfold
from segttt.report.curves import curves_svg

SMOOTHING = 0.9  # of the pseudo-Dice that picks best.safetensors (nnU-Net)
Fold = int | Literal["all"]


@dataclass(frozen=True)
class Options:
    """How to train, beyond the plan."""

    fold: Fold = 0
    seed: int = 0
    label: str | None = None
    """Name of the run; None: the network's name and what --set changed of it."""
    device: str = "auto"
    threads: int | None = None
    deterministic: bool = False
    limit_seconds: float | None = None
    resume: Literal["auto", "must", "never"] = "auto"
    validate: bool = True


@dataclass(frozen=True)
class Trained:
    """A finished training."""

    folder: Path
    epochs: int
    seconds: float
    loss: float | None
    pseudo_dice: float | None
    validation: Summary | None


def train(
    dataset: Dataset, plan: Plan, workspace: Workspace, options: Options, watch: Watch
) -> Trained:
    """Train, or go on training, one fold; returns when the model is saved and validated."""
    folder = workspace.run(options.label or plan.network.name, options.fold, options.seed)
    _claim(folder, plan, options, watch)
    training, held_out = split(dataset, options.fold)
    learner = _learner(plan, options)
    state = None if options.resume == "never" else load_state(folder / "state", learner)
    record, notices = state or ({"epoch": -1, "spent_seconds": 0.0, "history": []}, [])
    for notice in notices:
        watch.note(notice)
    if options.resume == "must" and state is None:
        raise UsageError(f"{folder}: holds no state to resume. Leave out --resume must.")
    run = _Run(folder, plan, options, watch, list(record["history"]))
    run.describe(learner, training, held_out)
    clock = Clock(
        plan.train, limit_seconds=options.limit_seconds, spent_seconds=record["spent_seconds"]
    )
    if not record.get("finished"):
        prepared = workspace.prepared(plan)
        run.fit(learner, _loaders(prepared, plan, options, training, held_out), clock, record)
    validation = None
    if options.validate and options.fold != "all":
        learner.network.load_state_dict(learner.weights())
        predictor = Predictor([learner.network], plan, learner.compute)
        cases = [case for case in dataset.cases if case.id in set(held_out)]
        validation = validate(predictor, cases, folder / "val", watch)
    last = run.history[-1] if run.history else {}
    return Trained(
        folder, len(run.history), last.get("spent_seconds", 0.0),
        last.get("train_loss"), last.get("mean_dice"), validation,
    )  # fmt: skip


def split(dataset: Dataset, fold: Fold) -> tuple[Sequence[str], Sequence[str]]:
    """Ids to train on and ids to validate on; fold `all` does both on every case."""
    ids = [case.id for case in dataset.cases]
    if fold == "all":
        return ids, ids
    folds = kfold(ids, given=dataset.folds)
    if not 0 <= fold < len(folds):
        raise UsageError(f"--fold {fold}: this dataset has folds 0 to {len(folds) - 1}, or all.")
    return folds[fold]


def _learner(plan: Plan, options: Options) -> Learner:
    computing.keep_freed_memory()
    computing.seed_everything(options.seed, deterministic=options.deterministic)
    if options.threads:
        torch.set_num_threads(options.threads)
    compute = computing.choose(options.device, plan.train.precision)
    network = build(plan.network, plan.topology, len(plan.channels), plan.classes)
    return Learner(network, plan, compute)


def _loaders(
    prepared: Path, plan: Plan, options: Options, training: Sequence[str], held_out: Sequence[str]
) -> tuple[Loader, Loader | None]:
    cases = {one: StoredCase.open(prepared, one) for one in sorted({*training, *held_out})}
    train = Loader([cases[i] for i in training], plan, seed=options.seed, augmented=True)
    val = Loader([cases[i] for i in held_out], plan, seed=options.seed, augmented=False)
    return train, val if plan.train.val_iterations else None


def _claim(folder: Path, plan: Plan, options: Options, watch: Watch) -> None:
    """Make the folder this plan's; another plan's training is never continued or overwritten."""
    mine = folder / "plan.json"
    if options.resume == "never" and (folder / "state").exists():
        raise UsageError(
            f"{folder}: holds a training already. Give the new one a --name, or delete that folder."
        )
    if mine.is_file() and Plan.load(mine) != plan:
        changed = ", ".join(_differences(Plan.load(mine), plan)[:3])
        raise UsageError(
            f"{folder}: was trained with another plan ({changed}). "
            "Give this training a --name of its own."
        )
    if not mine.is_file():
        write_text(mine, plan.dump())
    if options.fold == "all":
        watch.note("Fold all trains on every case: its pseudo-Dice is on training data.")


def _differences(old: Plan, new: Plan) -> list[str]:
    def flat(content: Any, name: str = "") -> dict[str, Any]:
        if not isinstance(content, dict):
            return {name: content}
        return {k: v for key, one in content.items() for k, v in flat(one, f"{name}.{key}").items()}

    before, after = flat(old.model_dump(mode="json")), flat(new.model_dump(mode="json"))
    names = sorted(set(before) | set(after))
    return [
        f"{name.lstrip('.')}: {before.get(name)} then, {after.get(name)} now"
        for name in names
        if before.get(name) != after.get(name)
    ]


class _Run:
    """The files of one training and its history."""

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        options: Options,
        watch: Watch,
        history: list[dict[str, Any]],
    ):
        self.folder = folder
        self.plan = plan
        self.options = options
        self.watch = watch
        self.history = history

    def describe(self, learner: Learner, training: Sequence[str], held_out: Sequence[str]) -> None:
        """Write what a reader needs to repeat this training."""
        write_json(
            self.folder / "env.json",
            {
                "segttt": segttt.__version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
                "device": str(learner.compute.device),
                "dtype": str(learner.compute.dtype),
                "threads": torch.get_num_threads(),
                "options": asdict(self.options),
                "training": list(training),
                "validation": list(held_out),
            },
        )

    def fit(
        self,
        learner: Learner,
        loaders: tuple[Loader, Loader | None],
        clock: Clock,
        record: dict[str, Any],
    ) -> None:
        """Run the epochs that are left, saving each."""
        smooth = record.get("smooth_dice")
        best = record.get("best_dice")
        start = record["epoch"] + 1
        if start:
            self.watch.note(f"Resumed after epoch {start}.")
        events = fit(learner, *loaders, clock, start)
        total = self.plan.train.epochs * self.plan.train.iterations - learner.steps
        for event in self.watch.track(events, "train", total):
            if isinstance(event, Step):
                self._status(event, clock, learner.steps)
                continue
            smooth = _smoothed(smooth, event.mean_dice)
            improved = smooth is not None and (best is None or smooth > best)
            best = smooth if improved else best
            finished = clock.progress(learner.steps) >= 1
            self._log(event, smooth)
            if improved and not finished:
                self.save_model("best.safetensors", learner)
            if finished:
                self.save_model("model.safetensors", learner)
            save_state(
                self.folder / "state",
                learner,
                {
                    "epoch": event.epoch, "spent_seconds": event.spent_seconds,
                    "smooth_dice": smooth, "best_dice": best,
                    "finished": finished, "history": self.history,
                },
            )  # fmt: skip

    def save_model(self, name: str, learner: Learner) -> None:
        """Weights and plan in one file; the same training gives the same bytes."""
        about = {"segttt": segttt.__version__, "fold": self.options.fold, "seed": self.options.seed}
        save_tensors(
            self.folder / name,
            learner.weights(),
            {"plan": self.plan.model_dump_json(), "about": json.dumps(about)},
        )

    def _status(self, step: Step, clock: Clock, steps: int) -> None:
        dice = self.history[-1]["mean_dice"] if self.history else None
        seen = f"  pseudo-Dice {dice:.3f}" if dice is not None else ""
        share = f"  {100 * clock.progress(steps):.0f} % of the time" if clock.limit_seconds else ""
        self.watch.status(f"loss {step.loss:+.3f}{seen}{share}")

    def _log(self, epoch: Epoch, smooth: float | None) -> None:
        names = list(self.plan.labels.values())
        entry = {
            **asdict(epoch),
            "mean_dice": epoch.mean_dice,
            "smooth_dice": smooth,
        }
        self.history.append(entry)
        lines = "".join(json.dumps(one) + "\n" for one in self.history)
        write_text(self.folder / "metrics.jsonl", lines)
        write_text(self.folder / "curves.svg", curves_svg(self.history, names))


def _smoothed(old: float | None, new: float | None) -> float | None:
    if new is None or old is None:
        return new if old is None else old
    return SMOOTHING * old + (1 - SMOOTHING) * new
