"""What makes a training step on the CPU cheaper: freed memory kept, bf16. Ratios from one run.

    python benchmarks/cpu_step.py [--repeats 7]

Each variant runs in a process of its own, variants take turns, and the median step is compared with
the first variant: fp32, memory as the C library handles it.
"""

import argparse
import statistics
import subprocess
import sys
import time

VARIANTS = {
    "fp32, default malloc": ("fp32", False),
    "fp32, freed memory kept": ("fp32", True),
    "bf16, default malloc": ("bf16", False),
    "bf16, freed memory kept": ("bf16", True),
}
STEPS = 4


def step_seconds(precision: str, keep: bool) -> float:
    """Median seconds of a step of nnU-Net's hippocampus plan with a batch of 2."""
    import torch

    from segttt.cases import Batch
    from segttt.config.network import Topology
    from segttt.config.plan import Normalisation, Plan
    from segttt.config.recipe import Recipe
    from segttt.engine import compute as computing
    from segttt.engine.learner import Learner
    from segttt.networks.build import build, spec

    if keep:
        computing.keep_freed_memory()
    topology = Topology(
        patch=(40, 56, 40),
        strides=((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2)),
        kernels=((3, 3, 3),) * 4,
        features=(32, 64, 128, 256),
    )
    plan = Plan(
        name="hippocampus",
        channels=("MR",),
        labels={1: "anterior", 2: "posterior"},
        spacing_mm=(1.0, 1.0, 1.0),
        normalisation=(Normalisation(scheme="zscore"),),
        topology=topology,
        network=spec("nnunet"),
        batch=2,
        batch_dice=False,
        train=Recipe(precision=precision),
    )
    learner = Learner(build(plan.network, topology, 1, 3), plan, computing.choose("cpu", precision))
    batch = Batch(torch.randn(2, 1, *topology.patch), torch.randint(0, 3, (2, *topology.patch)))
    times = []
    for _ in range(STEPS + 2):
        started = time.perf_counter()
        learner.step(batch, 1e-3)
        times.append(time.perf_counter() - started)
    return statistics.median(times[2:])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", nargs=2, help="run one variant: precision, 0 or 1")
    options = parser.parse_args()
    if options.one:
        print(step_seconds(options.one[0], options.one[1] == "1"))
        return
    seconds: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for _ in range(options.repeats):
        for name, (precision, keep) in VARIANTS.items():
            command = [sys.executable, __file__, "--one", precision, str(int(keep))]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            seconds[name].append(float(done.stdout))
    first = statistics.median(seconds["fp32, default malloc"])
    print("| variant | s/step | times faster |\n|---|---|---|")
    for name, values in seconds.items():
        middle = statistics.median(values)
        print(f"| {name} | {middle:.2f} | {first / middle:.2f} |")


if __name__ == "__main__":
    main()
