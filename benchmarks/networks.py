"""Every network on volumes and on pictures: parameters, step time, 30 steps, one prediction.

    python benchmarks/networks.py DATA [--out FILE]        small instances, on the CPU
    python benchmarks/networks.py --device cuda [--out FILE]   the presets' sizes, on a GPU

DATA is the folder that holds `hippocampus` and `polyps` (nnU-Net's layout). All networks train
under the preset `laptop` on the same cases with the same patches, augmentation and recipe, so that
only the network differs. On a GPU the step is measured on random data at the windows of `flare22`
and `endovis17`, with its peak memory.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from segttt.cases import Batch
from segttt.commands.plan import Request, make
from segttt.commands.plans.adapt import settled, switched
from segttt.commands.predictions.segment import segment_case
from segttt.commands.preprocess import preprocess
from segttt.commands.watch import Silent
from segttt.config import preset as presets
from segttt.config.network import UNetSpec
from segttt.config.plan import Normalisation, Plan
from segttt.config.recipe import Recipe
from segttt.data.loader import Loader
from segttt.engine import compute as computing
from segttt.engine.learner import Learner
from segttt.engine.optimise import learning_rate
from segttt.engine.predict import SlidingWindow
from segttt.errors import SegtttError
from segttt.io.layouts.inputs import list_inputs
from segttt.io.store import StoredCase
from segttt.io.workspace import Workspace
from segttt.networks.build import build, names, parameter_count, spec
from segttt.networks.sizes import fit_patch

RANKS = {"hippocampus": 3, "polyps": 2}
STEPS = 30
CASES = 8
HEADER = "| network | patch | parameters | s per step | loss, first 5 | loss, last 5 | predict s |"
GPU_HEADER = "| network | preset | patch | batch | parameters | s per step | peak GiB |"


def candidates(rank: int, *, small: bool) -> list[str]:
    """Networks for that rank: every U-Net, and one instance of every foreign one."""
    return [
        name
        for name in names()
        if rank in spec(name).ranks
        and (isinstance(spec(name), UNetSpec) or name.endswith(":small") == small)
    ]


def prepared(data: Path, folder: Path) -> tuple[Plan, list[StoredCase]]:
    """A plan of the laptop preset for a few cases, and these cases."""
    ids = sorted(path.name for path in (data / "labelsTr").iterdir())[:CASES]
    chosen = folder / f"{data.name}.txt"
    chosen.write_text("\n".join(name.split(".")[0] for name in ids))
    workspace = Workspace(folder / data.name)
    settings = {"train.epochs": 1, "train.iterations": STEPS, "train.lr": 1e-3, "train.warmup": 0.1}
    request = Request(workspace, data, "laptop", "nnunet", settings, cases=str(chosen), workers=2)
    planned = make(request, Silent())
    made = preprocess(planned.dataset, planned.plan, workspace, Silent(), workers=2)
    cases = [StoredCase.open(made.folder, case.id) for case in planned.dataset.cases]
    return planned.plan, cases


def trained(plan: Plan, cases: list[StoredCase]) -> tuple[Learner, list[float], list[float]]:
    """Train for STEPS; returns the learner, the losses and the seconds of each step."""
    computing.seed_everything(0, deterministic=False)
    compute = computing.choose("cpu", plan.train.precision)
    network = build(plan.network, plan.topology, len(plan.channels), plan.classes)
    learner = Learner(network, plan, compute)
    learner.network.train()
    losses, seconds = [], []
    for batch in Loader(cases, plan, seed=0, augmented=True).batches(range(STEPS), compute.device):
        started = time.perf_counter()
        losses.append(learner.step(batch, learning_rate(plan.train, learner.steps / STEPS)))
        seconds.append(time.perf_counter() - started)
    return learner, losses, seconds


def row(name: str, plan: Plan, cases: list[StoredCase], scan: Path) -> str:
    """One line of the table."""
    plan = settled(switched(plan, spec(name), "preset", presets.load("laptop")), {}, Silent())
    plan = plan.model_copy(
        update={"train": plan.train.model_copy(update={"lr": 1e-3, "warmup": 0.1})}
    )
    learner, losses, seconds = trained(plan, cases)
    network = learner.network
    network.load_state_dict(learner.weights())
    predictor = SlidingWindow([network], plan, learner.compute)
    (case, *_), _ = list_inputs(scan, len(plan.channels))
    started = time.perf_counter()
    segment_case(predictor, case)
    predicted = time.perf_counter() - started
    count = sum(parameter.numel() for parameter in network.parameters())
    first, last = statistics.mean(losses[:5]), statistics.mean(losses[-5:])
    return (
        f"| {name} | {_times(plan.topology.patch)} | {count:,} | "
        f"{statistics.median(seconds[2:]):.2f} | {first:+.3f} | {last:+.3f} | {predicted:.1f} |"
        f"{'' if last < first else ' the loss does not fall'}"
    )


def on_cpu(data: Path, datasets: list[str]) -> Iterator[str]:
    """Tables of small instances on real cases."""
    with tempfile.TemporaryDirectory() as folder:
        for dataset in datasets:
            rank = RANKS[dataset]
            plan, cases = prepared(data / dataset, Path(folder))
            yield f"\n{dataset}, batch {plan.batch}\n\n{HEADER}\n|{' --- |' * 7}"
            for name in candidates(rank, small=True):
                yield row(name, plan, cases, data / dataset / "imagesTs")


def gpu_row(name: str, preset: str, device: str) -> str:
    """Step time and peak memory of one network at a preset's window, on random data."""
    chosen = presets.load(preset)
    data, wanted = chosen.dataset, chosen.topology
    if data is None or wanted is None:
        raise SystemExit(f"{preset} has no window of its own")
    topology = fit_patch(spec(name), wanted)
    plan = Plan(
        name=preset, channels=data.channels, labels=data.labels, spacing_mm=(1.0, 1.0, 1.0),
        normalisation=(Normalisation(scheme="zscore"),) * len(data.channels), topology=topology,
        network=spec(name), batch=chosen.batch or 2, batch_dice=True, train=Recipe(),
    )  # fmt: skip
    compute = computing.choose(device, "auto")
    learner = Learner(
        build(plan.network, topology, len(data.channels), plan.classes), plan, compute
    )
    shape = (plan.batch, len(data.channels), *topology.patch)
    images = torch.randn(shape, device=compute.device)
    labels = torch.randint(0, plan.classes, (shape[0], *shape[2:]), device=compute.device)
    torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(8):
        torch.cuda.synchronize()
        started = time.perf_counter()
        learner.step(Batch(images, labels), 1e-4)
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    peak = torch.cuda.max_memory_allocated() / 2**30
    count = parameter_count(plan.network, topology, len(data.channels), plan.classes)
    return (
        f"| {name} | {preset} | {_times(topology.patch)} | {plan.batch} | {count:,} | "
        f"{statistics.median(seconds[3:]):.3f} | {peak:.1f} |"
    )


def on_gpu(device: str) -> Iterator[str]:
    """A table of published sizes at the presets' windows."""
    yield f"{torch.cuda.get_device_name()}\n\n{GPU_HEADER}\n|{' --- |' * 7}"
    for preset, rank in (("flare22", 3), ("endovis17", 2)):
        for name in candidates(rank, small=False):
            try:
                yield gpu_row(name, preset, device)
            except (SegtttError, torch.OutOfMemoryError) as error:
                yield f"| {name} | {preset} | {type(error).__name__}: {str(error)[:80]} | | | | |"
            torch.cuda.empty_cache()


def _times(edges: tuple[int, ...]) -> str:
    return "x".join(map(str, edges))


def main() -> None:
    """Print the tables as they grow."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--datasets", nargs="+", choices=RANKS, default=list(RANKS))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.device == "cpu" and arguments.data is None:
        parser.error("name the folder of hippocampus and polyps")
    lines = [
        f"`python {' '.join(sys.argv)}`, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads"
    ]
    source = (
        on_cpu(arguments.data, arguments.datasets)
        if arguments.device == "cpu"
        else on_gpu(arguments.device)
    )
    print(lines[0], flush=True)
    for line in source:
        print(line, flush=True)
        lines.append(line)
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
