"""On a GPU: training steps beside nnU-Net's, how busy training keeps it, a CT predicted.

    python -m benchmarks.engine.on_gpu [--peer-python PATH] [--only step predict]

The plain network at the window and batch of the preset `flare22`, in fp16, on two CPU cores. Our
steps are those of a training: windows are read from a store of made-up cases and augmented on the
GPU. nnU-Net's steps, compiled as it does by itself, get one batch that lies on the GPU already:
its augmentation, which needs many cores, is left out. Predictions go from a scan in memory to its
classes. Takes about ten minutes. Without a GPU the whole of it can be tried small:

    python -m benchmarks.engine.on_gpu --device cpu --patch 16 64 64 --volume 16 64 96 --steps 2
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.engine.cost import Line, table
from benchmarks.peers.networks import job
from benchmarks.peers.peer import Arrays, Peer
from segttt.cases import Batch, Case, Orientation, Preparation, PreparedCase, Volume
from segttt.config import preset as presets
from segttt.config.plan import Normalisation, Plan
from segttt.config.recipe import Augmentation
from segttt.data.loader import Loader
from segttt.engine import compute as computing
from segttt.engine.learner import Learner
from segttt.engine.predict import SlidingWindow
from segttt.engine.train import Clock, Start, Step, fit
from segttt.geometry.grid import Grid
from segttt.io.store import StoredCase, write_case
from segttt.networks.build import build, spec
from segttt.preprocessing.pipeline import prepare

CORES, WARM_UP, CASES = 2, 5, 3
AXES = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
CLIP, MEAN, STD = (-160.0, 240.0), 80.0, 140.0
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Figure:
    """One number of ours alone."""

    work: str
    value: float
    unit: str
    bar: float | None = None
    """At least."""


@dataclass(frozen=True)
class Bench:
    """What is measured, and where."""

    plan: Plan
    device: str
    volume: Shape
    steps: int
    folder: Path
    peer: Peer | None

    def theirs(self, part: str, arrays: Arrays | None = None, **settings: Any) -> dict[str, Any]:
        """A figure of nnU-Net's."""
        given = {
            "part": part, "device": self.device, "threads": CORES, "warm_up": WARM_UP,
            "steps": self.steps, **peer_settings(self.plan), **settings,
        }  # fmt: skip
        if self.peer is None:
            raise ValueError("no peer is given")
        return self.peer.run("on_gpu", given, arrays)[0]


class Fixed(Loader):
    """The same batch for each step."""

    def __init__(self, batch: Batch):
        self.batch = batch

    def batches(self, steps: range, device: torch.device) -> Generator[Batch, None, None]:
        """It lies on the device already."""
        for _ in steps:
            yield self.batch


def plan_of(patch: Sequence[int] | None) -> Plan:
    """The plan of the preset, of the plain network."""
    preset = presets.load("flare22")
    if preset.topology is None or preset.dataset is None or preset.spacing_mm is None:
        raise ValueError("the preset leaves its window open")
    changed = {"patch": tuple(patch)} if patch else {}
    z, y, x = preset.spacing_mm
    return Plan(
        name="flare22",
        channels=preset.dataset.channels,
        labels=preset.dataset.labels,
        spacing_mm=(z, y, x),
        normalisation=(Normalisation(scheme="ct", clip=CLIP, mean=MEAN, std=STD),),
        topology=preset.topology.model_copy(update=changed),
        network=spec("nnunet"),
        batch=preset.batch or 2,
        batch_dice=True,
        augment=Augmentation(**preset.augment),
        train=preset.train,
        predict=preset.predict,
    )


def store(bench: Bench) -> list[StoredCase]:
    """Prepared cases of noise, with blocks of all classes."""
    shape, random = bench.volume, np.random.default_rng(0)
    blocks = np.add.outer(
        np.add.outer(np.arange(shape[0]) // 12, np.arange(shape[1]) // 48),
        np.arange(shape[2]) // 48,
    )
    label = (blocks % bench.plan.classes).astype(np.int16)
    spacing = bench.plan.spacing_mm
    done = Preparation((0, 1, 2), shape, (0, 0, 0), shape, spacing, shape, spacing)
    for number in range(CASES):
        image = random.normal(size=(1, *shape)).astype(np.float32)
        case = PreparedCase(f"case_{number}", image, label, done)
        write_case(bench.folder / "store", case, bench.plan.topology.patch, bench.plan.classes)
    return [StoredCase.open(bench.folder / "store", f"case_{n}") for n in range(CASES)]


def learner_of(bench: Bench, *, compiled: bool) -> Learner:
    """Ready to train."""
    computing.seed_everything(0, deterministic=False)
    plan = bench.plan
    network = build(plan.network, plan.topology, 1, plan.classes)
    learner = Learner(network, plan, computing.choose(bench.device))
    if compiled:
        learner.compile()
    return learner


def step_seconds(bench: Bench, learner: Learner, loader: Loader) -> float:
    """Mean seconds of a step of the training loop, after the warm-up."""
    recipe = learner.plan.train
    times = []
    clock = Clock(recipe, limit_seconds=None)
    for event in fit(learner, loader, None, clock, Start()):
        if isinstance(event, Step):
            times.append(time.perf_counter())
        if len(times) == WARM_UP + bench.steps:
            break
    return (times[-1] - times[WARM_UP - 1]) / bench.steps


def busy(device: str, work: Callable[[], float]) -> tuple[float, float | None]:
    """What the work gives, and the share of time at the end of it that a kernel ran, in percent.

    None where nvidia-smi does not tell. Its own samples are means over a sixth of a second or more.
    """
    if device == "cpu" or shutil.which("nvidia-smi") is None:
        return work(), None
    uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
    query = ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "100"]
    command = ["nvidia-smi", *query, "-i", uuid]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watcher:
        try:
            found = work()
        finally:
            watcher.terminate()  # it would be waited for without end
        text = watcher.stdout.read() if watcher.stdout else ""
    shares = [float(line) for line in text.split() if line.replace(".", "").isdigit()]
    half = shares[len(shares) // 2 :]  # the first half is warming up
    return found, statistics.mean(half) if half else None


def step(bench: Bench, *, compiling: bool) -> tuple[list[Figure], list[Line]]:
    """Steps of a training, with and without compiling, beside those with a batch at hand."""
    loader = Loader(store(bench), bench.plan, seed=0, augmented=True)
    theirs = bench.theirs("stepping") if bench.peer else None
    figures, lines = [], []
    for compiled in (False, True)[: 1 + compiling]:
        how = "compiled" if compiled else "not compiled"
        learner = learner_of(bench, compiled=compiled)
        samples = loader.read(0, learner.compute.device)
        at_hand = Fixed(loader.finish(samples, learner.compute.device))
        fixed = step_seconds(bench, learner, at_hand)
        seconds, share = busy(bench.device, partial(step_seconds, bench, learner, loader))
        figures += [
            Figure(f"training, {how}", 1 / seconds, "steps per s"),
            Figure(f"the same with a batch at hand, {how}", 1 / fixed, "steps per s"),
            Figure(
                f"speed kept with reading and augmenting, {how}", 100 * fixed / seconds, "%", 95
            ),
        ]
        if share is not None:
            figures.append(Figure(f"GPU at work by nvidia-smi, {how}", share, "%", 95))
        if theirs:
            peer = "compiled" if theirs["compiled"] else "not compiled"
            work = f"training step, ours {how} and augmented, nnU-Net's {peer} on one batch"
            lines.append(Line(work, "s", theirs["seconds"], seconds, 1))
    return figures, lines


def predict(bench: Bench) -> tuple[list[Figure], list[Line]]:
    """One scan on the plan's grid, from its voxels to their classes."""
    random = np.random.default_rng(1)
    scan = random.normal(60, 40, (1, *bench.volume)).astype(np.float32)
    grid = Grid(bench.volume, bench.plan.spacing_mm, (0.0, 0.0, 0.0), AXES)
    turned = Orientation((0, 1, 2), (False, False, False))
    volume = Volume(Case("ct", ()), scan, None, grid, turned, grid)
    size = " x ".join(map(str, bench.volume))
    figures, lines = [], []
    for mirror in (False, True):
        how = bench.plan.predict.model_copy(update={"mirror": mirror})
        plan = bench.plan.model_copy(update={"predict": how})
        learner = learner_of(bench, compiled=False)
        predictor = SlidingWindow([learner.network], plan, learner.compute)
        seconds = []
        for _ in range(2):  # the first is not counted
            started = time.perf_counter()
            predictor.segment(prepare(volume, plan))
            seconds.append(time.perf_counter() - started)
        work = f"predict a CT of {size}, {'with' if mirror else 'without'} mirroring"
        figures.append(Figure(work, seconds[-1], "s"))
        if bench.peer:
            theirs = bench.theirs("predicting", {"scan": scan}, mirror=mirror)
            lines.append(Line(work, "s", theirs["seconds"], seconds[-1], 1))
    return figures, lines


def peer_settings(plan: Plan) -> dict[str, Any]:
    """The same plan for nnU-Net."""
    small = job("nnunet", plan.topology, channels=1, classes=plan.classes)
    return {
        "plans": small["plans"], "dataset": small["dataset"], "batch": plan.batch,
        "spacing": plan.spacing_mm, "clip": CLIP, "mean": MEAN, "std": STD,
    }  # fmt: skip


def listed(figures: Sequence[Figure]) -> str:
    """As Markdown."""
    rows = ["| work | segttt | bar | met |", "| --- | ---: | ---: | --- |"]
    for one in figures:
        met = "" if one.bar is None else "yes" if one.value >= one.bar else "NO"
        bar = "" if one.bar is None else f"{one.bar:g} {one.unit}"
        rows.append(f"| {one.work} | {one.value:.4g} {one.unit} | {bar} | {met} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--peer-python", type=Path, help="of nnU-Net's environment")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--patch", type=int, nargs=3, help="instead of the preset's")
    parser.add_argument("--volume", type=int, nargs=3, default=(100, 512, 512))
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument(
        "--only", nargs="+", choices=("step", "predict"), default=["step", "predict"]
    )
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])  # the peer inherits it
    computing.use_threads(CORES)
    computing.keep_freed_memory()
    with tempfile.TemporaryDirectory() as name:
        peer = Peer(options.peer_python, Path(name) / "peer") if options.peer_python else None
        bench = Bench(
            plan_of(options.patch), options.device, tuple(options.volume), options.steps,
            Path(name), peer,
        )  # fmt: skip
        figures: list[Figure] = []
        lines: list[Line] = []
        for part in options.only:
            found = step(bench, compiling=options.compile) if part == "step" else predict(bench)
            print(listed(found[0]), file=sys.stderr, flush=True)
            figures += found[0]
            lines += found[1]
    print(listed(figures))
    if lines:
        print("", table(lines), sep="\n")


if __name__ == "__main__":
    main()
