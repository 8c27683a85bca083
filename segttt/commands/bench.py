"""What bounds an epoch of the user's own plan on the user's own machine."""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psutil
import torch

from segttt.cluster.cores import usable_cores
from segttt.commands.watch import Watch
from segttt.config.plan import Plan
from segttt.config.recipe import Recipe
from segttt.data.loader import Loader
from segttt.engine import compute as computing
from segttt.engine.compute import Compute
from segttt.engine.learner import Learner
from segttt.engine.train import Clock, Start, Step, fit
from segttt.errors import UsageError
from segttt.io.store import StoredCase, finished
from segttt.io.workspace import Workspace
from segttt.networks.build import build

WARM_UP = 2
BUSY = 0.5  # cores that other programs may use before it is worth a sentence
LARGE = 0.25  # share of a step from which a part is worth a sentence


@dataclass(frozen=True)
class Phases:
    """Median seconds of a training step, of its parts one after another, and of a validation batch.

    A GPU is given the next batch while it computes, so its step may take less than the parts.
    """

    read: float
    """From the store; done ahead of time by a thread of its own."""
    augment: float
    forward: float
    """With the loss."""
    backward: float
    """With the optimiser's step."""
    validate: float
    step: float
    """A whole one, as a training runs it: batches are read ahead, and queued on a GPU."""

    @property
    def parts(self) -> dict[str, float]:
        """What a device does for one step."""
        return {"augment": self.augment, "forward": self.forward, "backward": self.backward}

    def epoch(self, recipe: Recipe) -> float:
        """Seconds of an epoch."""
        checks = recipe.val_iterations * max(self.read, self.validate)
        return recipe.iterations * self.step + checks

    def bound(self) -> str:
        """The part that an epoch waits for most."""
        parts = self.parts
        return "read" if self.read > sum(parts.values()) else max(parts, key=lambda one: parts[one])


@dataclass(frozen=True)
class Bench:
    """A measurement and what follows from it."""

    phases: Phases
    bound: str
    epoch_seconds: float
    training_hours: float
    patches_per_second: float
    device: str
    dtype: str
    threads: int
    batches: int
    """Measured, after the warm-up."""
    advice: tuple[str, ...]


def bench(
    plan: Plan,
    workspace: Workspace,
    watch: Watch,
    *,
    device: str,
    threads: int | None,
    batches: int,
) -> Bench:
    """Train `batches` batches of the plan, time their parts and throw the weights away."""
    folder = workspace.prepared(plan)
    cases = [StoredCase.open(folder, case) for case in sorted(finished(folder))]
    if not cases:
        raise UsageError(
            f"{folder}: holds no prepared case. Run `segttt preprocess -w {workspace.folder}`, "
            "with the same --data, --preset and --set."
        )
    computing.keep_freed_memory()
    computing.use_threads(threads)
    compute = computing.choose(device, plan.train.precision, plan.train.scan)
    network = build(plan.network, plan.topology, len(plan.channels), plan.classes)
    measured = WARM_UP + batches
    learner = Learner(network, _one_epoch(plan, 2 * measured), compute)
    if plan.train.compile:
        learner.compile()
    loader = Loader(cases, plan, seed=0, augmented=True)
    parts = list(_parts(learner, loader, range(measured), watch))[WARM_UP:]
    steps = list(_steps(learner, loader, measured, watch))[WARM_UP:]
    medians = [statistics.median(part) for part in zip(*parts, strict=True)]
    phases = Phases(*medians, step=statistics.median(steps))
    epoch = phases.epoch(plan.train)
    return Bench(
        phases=phases,
        bound=phases.bound(),
        epoch_seconds=epoch,
        training_hours=epoch * plan.train.epochs / 3600,
        patches_per_second=plan.batch / phases.step,
        device=str(learner.compute.device),
        dtype=str(learner.compute.dtype).removeprefix("torch."),
        threads=torch.get_num_threads(),
        batches=batches,
        advice=tuple(_advice(phases, plan, learner, workspace)),
    )


def _one_epoch(plan: Plan, steps: int) -> Plan:
    """The plan with so many steps and no validation."""
    once = {"epochs": 1, "iterations": steps, "val_iterations": 0}
    return plan.model_copy(update={"train": plan.train.model_copy(update=once)})


def _steps(learner: Learner, loader: Loader, made: int, watch: Watch) -> Iterator[float]:
    """Seconds of each step of a training that goes on from `made` steps."""
    recipe = learner.plan.train
    clock = Clock(recipe, limit_seconds=None)
    events = fit(learner, loader, None, clock, Start(losses=(0.0,) * made))
    steps = (event for event in events if isinstance(event, Step))
    before = time.perf_counter()
    for _ in watch.track(steps, "steps", recipe.iterations - made):
        now = time.perf_counter()
        yield now - before
        before = now


def _parts(
    learner: Learner, loader: Loader, steps: range, watch: Watch
) -> Iterator[tuple[float, float, float, float, float]]:
    """Seconds of each part of a step, with nothing else at work meanwhile."""
    device = learner.compute.device

    def timed(work: Callable[..., Any], *given: Any) -> tuple[float, Any]:
        started = time.perf_counter()
        result = work(*given)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - started, result

    for number in watch.track(steps, "parts", len(steps)):
        read, samples = timed(loader.read, number, device)
        augment, batch = timed(loader.finish, samples, device)
        learner.network.train()
        forward = timed(learner.loss, batch)[0]  # what its backward pass would need goes at once
        whole = timed(learner.step, batch, loader.plan.train.lr)[0]
        learner.network.eval()
        check = timed(learner.validate, batch)[0]
        yield read, augment, forward, max(0.0, whole - forward), check


def _advice(phases: Phases, plan: Plan, learner: Learner, workspace: Workspace) -> Iterator[str]:
    """Sentences of what to change."""
    if phases.bound() == "read":
        yield (
            f"Reading takes longer than a step: move {workspace.folder} to a local disk, "
            "or use larger batches."
        )
    if phases.augment > LARGE * sum(phases.parts.values()):
        yield "Augmentation is a large part: lower augment.rotation and augment.low_resolution."
    on_cpu = learner.compute.device.type == "cpu"
    found = list(_for_cpu(plan, learner.compute) if on_cpu else _for_gpu(learner.compute))
    yield from found
    if on_cpu and not found:
        yield "The network itself takes the time: a GPU, or a smaller patch or network, will help."


def _for_cpu(plan: Plan, compute: Compute) -> Iterator[str]:
    slow = compute.dtype == torch.float32 and plan.train.precision == "fp32"
    if slow and computing.cpu_has_bf16():
        yield "This CPU computes bf16 natively: try --set train.precision=auto."
    others = psutil.cpu_percent(0.5) / 100 * (psutil.cpu_count() or 1)
    if others > BUSY and torch.get_num_threads() > 1:
        yield (
            f"Other programs keep {others:.1f} cores busy, and PyTorch's threads wait for each "
            "other then: try --threads 1."
        )
    elif others < BUSY and torch.get_num_threads() < usable_cores():
        yield f"{usable_cores()} cores are usable: --threads {usable_cores()}."


def _for_gpu(compute: Compute) -> Iterator[str]:
    peak = torch.cuda.max_memory_allocated(compute.device)
    total = torch.cuda.get_device_properties(compute.device).total_memory
    if peak < total / 3:
        yield (
            f"The GPU used {peak / 2**30:.1f} of {total / 2**30:.0f} GiB: "
            "a larger --set batch=N keeps it busier."
        )
