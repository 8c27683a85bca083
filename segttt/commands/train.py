"""Train one network on one fold: resume, log, save, validate."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch

from segttt.cases import Failure
from segttt.cluster.stop import Stop, on_signals
from segttt.commands.runs.claim import claim
from segttt.commands.runs.recorder import Paused, Recorder
from segttt.commands.runs.validate import validate
from segttt.commands.watch import Watch
from segttt.config.dataset import Dataset
from segttt.config.plan import Plan
from segttt.config.report import Summary
from segttt.data.loader import Loader
from segttt.engine import compute as computing
from segttt.engine.learner import Learner
from segttt.engine.predict import SlidingWindow
from segttt.engine.train import Clock, Step, fit
from segttt.errors import NonFiniteError, StoppedEarlyError, UsageError
from segttt.io.files import require_space
from segttt.io.store import StoredCase
from segttt.io.workspace import Workspace, locked
from segttt.networks.build import build
from segttt.planning.folds import kfold

Fold = int | Literal["all"]
STATES = 4
"""Two states, one being written, and the models."""


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
    failures: Sequence[Failure] = ()
    """Held-out cases that could not be validated."""


def train(
    dataset: Dataset, plan: Plan, workspace: Workspace, options: Options, watch: Watch
) -> Trained:
    """Train, or go on training, one fold; returns when the model is saved and validated."""
    folder = workspace.run(options.label or plan.network.name, options.fold, options.seed)
    with locked(folder, "trains", rooms=("state", "val")), on_signals() as stop:
        claim(folder, plan, anew=options.resume == "never")
        if options.fold == "all":
            watch.note("Fold all trains on every case: its pseudo-Dice is on training data.")
        with computing.refused_operators():
            return _train(dataset, plan, workspace, folder, options, Session(watch, stop))


@dataclass(frozen=True)
class Session:
    """Who watches a training and may end it."""

    watch: Watch
    stop: Stop


def _train(
    dataset: Dataset, plan: Plan, workspace: Workspace, folder: Path, options: Options,
    session: Session,
) -> Trained:  # fmt: skip
    watch = session.watch
    training, held_out = split(dataset, options.fold)
    learner = _learner(plan, options, watch)
    require_space(folder, STATES * learner.state_bytes, "the states of this training")
    recorder = Recorder(folder, plan, {"fold": options.fold, "seed": options.seed})
    _resume(recorder, learner, options, watch)
    if recorder.exact:
        learner.use_fp32()
    recorder.describe(
        learner, options=asdict(options), training=list(training), validation=list(held_out)
    )
    if not recorder.finished:
        loaders = _loaders(workspace.prepared(plan), plan, options, training, held_out)
        learner = _fit(recorder, learner, loaders, options, session)
    validation, failures = None, []
    if options.validate and options.fold != "all":
        learner.network.load_state_dict(learner.weights())
        predictor = SlidingWindow([learner.network], plan, learner.compute, tell=watch.note)
        cases = [case for case in dataset.cases if case.id in set(held_out)]
        validation, failures = validate(predictor, cases, folder / "val", watch)
    last = recorder.history[-1]
    return Trained(
        folder, len(recorder.history), recorder.spent_seconds,
        last["train_loss"], last["mean_dice"], validation, failures,
    )  # fmt: skip


def _resume(recorder: Recorder, learner: Learner, options: Options, watch: Watch) -> None:
    notices = None if options.resume == "never" else recorder.resume(learner)
    if notices is None and options.resume == "must":
        raise UsageError(f"{recorder.folder}: holds no state to resume. Leave out --resume must.")
    for notice in notices or []:
        watch.note(notice)
    if recorder.finished:
        watch.note(f"Finished already, after epoch {recorder.history[-1]['epoch']}.")
    elif recorder.paused:
        made = len(recorder.paused.losses)
        watch.note(f"Resumed in epoch {recorder.start.epoch}, after {made} of its steps.")
    elif recorder.history:
        watch.note(f"Resumed after epoch {recorder.history[-1]['epoch']}.")


def _fit(
    recorder: Recorder,
    learner: Learner,
    loaders: tuple[Loader, Loader | None],
    options: Options,
    session: Session,
) -> Learner:
    """Run the epochs that are left; what comes to a number that is none goes on in fp32, once."""
    try:
        _epochs(recorder, learner, loaders, options, session)
    except NonFiniteError as error:
        if learner.compute.dtype == torch.float32:
            raise
        learner = _learner(recorder.plan, options, session.watch)
        recorder.roll_back(learner)
        learner.use_fp32()
        session.watch.note(
            f"{error} Going back to the beginning of epoch {recorder.start.epoch} and on in fp32."
        )
        _epochs(recorder, learner, loaders, options, session)
    return learner


def _epochs(
    recorder: Recorder,
    learner: Learner,
    loaders: tuple[Loader, Loader | None],
    options: Options,
    session: Session,
) -> None:
    """Run the epochs that are left, keeping each; a `StoppedEarlyError` where that is asked for."""
    recipe, watch = recorder.plan.train, session.watch
    clock = Clock(recipe, limit_seconds=options.limit_seconds, spent_seconds=recorder.spent_seconds)
    start, losses, score = recorder.start, list(recorder.start.losses), ""
    began = time.monotonic() - start.seconds
    total = (recipe.epochs - start.epoch) * recipe.iterations - len(losses)
    for event in watch.track(fit(learner, *loaders, clock, start), "train", total):
        if isinstance(event, Step):
            losses.append(event.loss)
            share = f"  {100 * clock.progress(event.number):.0f} %" if clock.limit_seconds else ""
            watch.status(f"loss {event.loss:+.3f}{score}{share}")
        else:
            recorder.keep(event, learner)
            losses, began = [], time.monotonic()
            score = f"  pseudo-Dice {event.mean_dice:.3f}" if event.mean_dice is not None else ""
            watch.milestone(
                f"epoch {event.epoch}: loss {event.train_loss:+.3f}{score}  {event.seconds:.1f} s"
            )
        if session.stop.requested and not recorder.finished:
            if losses:
                seconds = time.monotonic() - began
                recorder.pause(Paused(losses, seconds, clock.spent_seconds), learner)
            raise StoppedEarlyError(
                f"Stopped on request after step {learner.steps}; the same command goes on."
            )


def split(dataset: Dataset, fold: Fold) -> tuple[Sequence[str], Sequence[str]]:
    """Ids to train on and ids to validate on; fold `all` does both on every case."""
    ids = [case.id for case in dataset.cases]
    if fold == "all":
        return ids, ids
    folds = kfold(ids, given=dataset.folds)
    if not 0 <= fold < len(folds):
        raise UsageError(f"--fold {fold}: this dataset has folds 0 to {len(folds) - 1}, or all.")
    return folds[fold]


def _learner(plan: Plan, options: Options, watch: Watch) -> Learner:
    computing.keep_freed_memory()
    computing.seed_everything(options.seed, deterministic=options.deterministic)
    computing.use_threads(options.threads)
    compute = computing.choose(options.device, plan.train.precision, plan.train.scan)
    network = build(plan.network, plan.topology, len(plan.channels), plan.classes)
    learner = Learner(network, plan, compute)
    if plan.train.compile:
        learner.compile()
        watch.note("The first step compiles the network, which takes a minute or more.")
    if learner.compute != compute:
        watch.note("Training in fp32: PyTorch gets bf16 gradients of depth 2 wrong on a CPU.")
    return learner


def _loaders(
    prepared: Path, plan: Plan, options: Options, training: Sequence[str], held_out: Sequence[str]
) -> tuple[Loader, Loader | None]:
    cases = {one: StoredCase.open(prepared, one) for one in sorted({*training, *held_out})}
    train = Loader([cases[i] for i in training], plan, seed=options.seed, augmented=True)
    val = Loader([cases[i] for i in held_out], plan, seed=options.seed, augmented=False)
    return train, val if plan.train.val_iterations else None
