"""The parts of segttt's engine, timed one at a time in a process of their own.

    python -m benchmarks.engine.ours PART SETTINGS

SETTINGS is JSON; the figures are printed as JSON.
"""

import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

STARTED = time.time()
WARM_UP = 3


def loading(settings: dict[str, Any]) -> dict[str, float]:
    """Seconds of CPU and of the clock for one fully augmented patch, and files open by then."""
    import psutil
    import torch

    from segttt.data.loader import Loader
    from segttt.engine import compute as computing
    from segttt.io.store import StoredCase, finished
    from segttt.io.workspace import Workspace

    torch.set_num_threads(1)
    computing.keep_freed_memory()  # as a training does
    workspace = Workspace(Path(settings["workspace"]))
    plan = workspace.plan().model_copy(update={"batch": settings["batch"]})
    folder = workspace.prepared(plan)
    cases = [StoredCase.open(folder, case) for case in sorted(finished(folder))]
    loader = Loader(cases, plan, seed=0, augmented=True)
    device = torch.device("cpu")
    list(loader.batches(range(WARM_UP), device))
    steps = range(WARM_UP, WARM_UP + settings["batches"])
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in loader.batches(steps, device):
        pass
    patches = settings["batches"] * settings["batch"]
    return {
        "cpu": (time.process_time() - cpu) / patches,
        "wall": (time.perf_counter() - wall) / patches,
        "files": psutil.Process().num_fds(),
    }


def stepping(settings: dict[str, Any]) -> dict[str, float]:
    """Median seconds of a training step on one batch of noise."""
    import torch

    from segttt.cases import Batch
    from segttt.engine import compute as computing
    from segttt.engine.learner import Learner
    from segttt.io.workspace import Workspace
    from segttt.networks.build import build

    torch.set_num_threads(settings["threads"])
    computing.keep_freed_memory()
    plan = Workspace(Path(settings["workspace"])).plan()
    recipe = plan.train.model_copy(update={"precision": settings["precision"]})
    plan = plan.model_copy(update={"batch": settings["batch"], "train": recipe})
    network = build(plan.network, plan.topology, 1, plan.classes)
    learner = Learner(network, plan, computing.choose("cpu", settings["precision"]))
    shape = (settings["batch"], *plan.topology.patch)
    batch = Batch(torch.randn(shape)[:, None], torch.randint(0, plan.classes, shape))
    wall, cpu = [], []
    for _ in range(WARM_UP + settings["steps"]):
        started, used = time.perf_counter(), time.process_time()
        learner.step(batch, 1e-2)
        wall.append(time.perf_counter() - started)
        cpu.append(time.process_time() - used)
    return {"wall": statistics.median(wall[WARM_UP:]), "cpu": statistics.median(cpu[WARM_UP:])}


def restoring(settings: dict[str, Any]) -> dict[str, float]:
    """Seconds to bring logits to another grid and take the argmax."""
    import torch

    from segttt.engine import compute as computing
    from segttt.geometry.argmax import classes_on_grid
    from segttt.geometry.resample import separate_axis
    from segttt.preprocessing.pipeline import RESTORE_BYTES

    torch.set_num_threads(settings["threads"])
    computing.keep_freed_memory()  # as a prediction does
    classes, *shape = settings["logits"]
    logits = torch.randn(classes, *shape, generator=torch.Generator().manual_seed(0))
    target = tuple(settings["shape"])
    separate = separate_axis(tuple(settings["spacing"]), tuple(settings["new_spacing"]))
    started, used = time.perf_counter(), time.process_time()
    slabs = logits.split(16, dim=1)
    for _ in classes_on_grid(slabs, shape[0], target, separate, RESTORE_BYTES):
        pass
    return {"wall": time.perf_counter() - started, "cpu": time.process_time() - used}


def first_window(settings: dict[str, Any]) -> None:
    """Seconds from the start of the predict command until its first window is through."""
    from segttt.cli.app import run
    from segttt.engine.predict import SlidingWindow

    original = SlidingWindow._windows

    def watched(*inputs: Any) -> None:
        original(*inputs)
        wall, usage = time.time() - STARTED, os.times()
        print(json.dumps({"wall": wall, "cpu": usage.user + usage.system}), flush=True)
        os._exit(0)

    SlidingWindow._windows = watched  # pyright: ignore[reportAttributeAccessIssue]
    run(["predict", *settings["arguments"]])


PARTS = {
    "loading": loading, "stepping": stepping, "restoring": restoring, "first_window": first_window,
}  # fmt: skip


if __name__ == "__main__":
    if (figures := PARTS[sys.argv[1]](json.loads(sys.argv[2]))) is not None:
        print(json.dumps(figures))
