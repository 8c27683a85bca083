"""The training loop."""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import torch

from segttt.config.recipe import Recipe
from segttt.data.draws import NETWORK, generator
from segttt.data.loader import Loader
from segttt.engine.learner import Learner
from segttt.engine.optimise import learning_rate
from segttt.metrics.online import dice


@dataclass(frozen=True)
class Step:
    """One training step has been made."""

    number: int
    loss: float


@dataclass(frozen=True)
class Epoch:
    """One epoch has ended."""

    epoch: int
    lr: float
    train_loss: float
    val_loss: float | None
    dice: tuple[float | None, ...]
    """Pseudo-Dice per foreground class over the validation patches; None: class not seen."""
    seconds: float
    spent_seconds: float
    """Of the whole training so far, interrupted sessions included."""
    finished: bool
    """No epoch follows."""

    @property
    def mean_dice(self) -> float | None:
        """Mean over the classes that were seen."""
        seen = [value for value in self.dice if value is not None]
        return sum(seen) / len(seen) if seen else None


class Clock:
    """How far a training is, by its steps and, where a limit is set, by its time."""

    def __init__(self, recipe: Recipe, *, limit_seconds: float | None, spent_seconds: float = 0.0):
        self.total = recipe.epochs * recipe.iterations
        self.limit_seconds = limit_seconds
        self.spent_before = spent_seconds
        self.started = time.monotonic()

    @property
    def spent_seconds(self) -> float:
        """Seconds of training, earlier sessions included."""
        return self.spent_before + time.monotonic() - self.started

    def progress(self, steps: int) -> float:
        """Share of the training that is done: the larger of steps and time."""
        by_steps = steps / self.total
        return (
            max(by_steps, self.spent_seconds / self.limit_seconds)
            if self.limit_seconds
            else by_steps
        )


@dataclass(frozen=True)
class Start:
    """Where a training goes on."""

    epoch: int = 0
    losses: tuple[float, ...] = ()
    """Of the steps of this epoch that were made already."""
    seconds: float = 0.0
    """That those steps took."""


def fit(
    learner: Learner, train: Loader, val: Loader | None, clock: Clock, start: Start
) -> Iterator[Step | Epoch]:
    """Train from `start`, handing back each step and each epoch as it ends."""
    recipe = learner.plan.train
    for number in range(start.epoch, recipe.epochs):
        again = start if number == start.epoch else Start(number)
        began = time.monotonic() - again.seconds
        losses = list(again.losses)
        first = number * recipe.iterations
        # In the middle of an epoch, too, the rate is that of its beginning.
        lr = learning_rate(recipe, clock.progress(learner.steps - len(losses)))
        learner.network.train()
        steps = range(first + len(losses), first + recipe.iterations)
        with closing(train.batches(steps, learner.compute.device)) as batches:
            batch = next(batches, None)
            while batch is not None:
                progress = clock.progress(learner.steps)
                if progress >= 1 and losses:
                    break
                if recipe.schedule_per == "iteration":
                    lr = learning_rate(recipe, progress)
                _seed_network(train.seed, learner.steps)
                begun = learner.begin(batch, lr)
                batch = next(batches, None)  # queued, so that a GPU has work at each moment
                losses.append(learner.finish(begun))
                yield Step(learner.steps, losses[-1])
        val_loss, scores = _validate(learner, val, number)
        finished = clock.progress(learner.steps) >= 1 or number + 1 == recipe.epochs
        yield Epoch(
            number, lr, sum(losses) / len(losses), val_loss, scores,
            time.monotonic() - began, clock.spent_seconds, finished,
        )  # fmt: skip
        if finished:
            return


def _seed_network(seed: int, step: int) -> None:
    """What a network draws, as dropout does, depends on (seed, step) only, as its batch."""
    torch.manual_seed(int(generator(seed, NETWORK, step).integers(2**63)))


def _validate(
    learner: Learner, val: Loader | None, epoch: int
) -> tuple[float | None, tuple[float | None, ...]]:
    steps = learner.plan.train.val_iterations
    if val is None or not steps:
        return None, ()
    learner.network.eval()
    batches = val.batches(range(epoch * steps, (epoch + 1) * steps), learner.compute.device)
    losses, counts = zip(*(learner.validate(batch) for batch in batches), strict=True)
    values = torch.stack(losses).tolist()  # read once, at the end: each reading waits for a GPU
    return sum(values) / len(values), tuple(dice(torch.stack(counts).sum(0)))
