"""What bounds an epoch of the user's own plan on the user's own machine."""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
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
from segttt.errors import UsageError
from segttt.io.store import StoredCase, finished
from segttt.io.workspace import Workspace
from segttt.networks.build import build

WARM_UP = 2
BUSY = 0.5  # cores that other programs may use before it is worth a sentence
LARGE = 0.25  # share of a step from which a part is worth a sentence


@dataclass(frozen=True)
class Phases:
    """Median seconds of the parts of one training batch, and of one validation batch."""

    read: float
    """From the store; done ahead of time by a thread of its own."""
    augment: float
    forward: float
    """With the loss."""
    backward: float
    """With the optimiser's step."""
    validate: float

    @property
    def step(self) -> float:
        """What the training itself waits for."""
        return self.augment + self.forward + self.backward

    def epoch(self, recipe: Recipe) -> float:
        """Seconds of an epoch, reading hidden behind the rest as far as it can be."""
        steps = recipe.iterations * max(self.read, self.step)
        return steps + recipe.val_iterations * max(self.read, self.validate)

    def bound(self) -> str:
        """The part that an epoch waits for most."""
        parts = asdict(self)
        del parts["validate"]
        if self.read <= self.step:
            del parts["read"]
        return max(parts, key=lambda part: parts[part])


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
            f"{folder}: holds no prepared case. Run `segttt preprocess -w {workspace.folder}`."
        )
    computing.keep_freed_memory()
    computing.use_threads(threads)
    compute = computing.choose(device, plan.train.precision, plan.train.scan)
    network = build(plan.network, plan.topology, len(plan.channels), plan.classes)
    learner = Learner(network, plan, compute)
    if plan.train.compile:
        learner.compile()
    loader = Loader(cases, plan, seed=0, augmented=True)
    times = list(_timed(learner, loader, range(WARM_UP + batches), watch))[WARM_UP:]
    phases = Phases(*(statistics.median(part) for part in zip(*times, strict=True)))
    epoch = phases.epoch(plan.train)
    return Bench(
        phases=phases,
        bound=phases.bound(),
        epoch_seconds=epoch,
        training_hours=epoch * plan.train.epochs / 3600,
        patches_per_second=plan.batch / max(phases.read, phases.step),
        device=str(learner.compute.device),
        dtype=str(learner.compute.dtype).removeprefix("torch."),
        threads=torch.get_num_threads(),
        batches=batches,
        advice=tuple(_advice(phases, plan, learner, workspace)),
    )


def _timed(
    learner: Learner, loader: Loader, steps: range, watch: Watch
) -> Iterator[tuple[float, float, float, float, float]]:
    device = learner.compute.device

    def timed(work: Callable[..., Any], *given: Any) -> tuple[float, Any]:
        started = time.perf_counter()
        result = work(*given)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - started, result

    for number in watch.track(steps, "bench", len(steps)):
        read, samples = timed(loader.read, number, device)
        augment, batch = timed(loader.finish, samples, device)
        learner.network.train()
        forward, _ = timed(learner.loss, batch)
        whole, _ = timed(learner.step, batch, loader.plan.train.lr)
        learner.network.eval()
        check, _ = timed(learner.validate, batch)
        yield read, augment, forward, max(0.0, whole - forward), check


def _advice(phases: Phases, plan: Plan, learner: Learner, workspace: Workspace) -> Iterator[str]:
    """Sentences of what to change."""
    if phases.bound() == "read":
        yield (
            f"Reading takes longer than a step: move {workspace.folder} to a local disk, "
            "or use larger batches."
        )
    if phases.augment > LARGE * phases.step:
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
