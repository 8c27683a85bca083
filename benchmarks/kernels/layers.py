"""What the mixers add to a training step: time and memory beside the same network without them.

    python benchmarks/kernels/layers.py [--device cpu] [--repeats N] [--threads N]

On a GPU the patch is that of preset flare22 with a batch of 2, on the CPU a small one with a batch
of 1. Each network runs in a process of its own, networks take turns.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time

NETWORKS = ("ttt-unet-bot", "ttt-unet-enc", "umamba-enc", "mm-unet")
PATCH = {"cuda": (40, 224, 192), "cpu": (16, 64, 64)}
BATCH = {"cuda": 2, "cpu": 1}
STEPS = {"cuda": 10, "cpu": 3}
STRIDES = ((1, 1, 1), (1, 2, 2), (2, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2))


def step(name: str, mixer: str, device: str, threads: int) -> tuple[float, float]:
    """Median seconds of a training step, and the highest memory of all in GiB."""
    import torch

    from segttt.cases import Batch
    from segttt.config.network import Topology
    from segttt.config.plan import Normalisation, Plan
    from segttt.config.recipe import Recipe
    from segttt.engine import compute as computing
    from segttt.engine.learner import Learner
    from segttt.networks.build import build, spec

    torch.set_num_threads(threads)
    topology = Topology(
        patch=PATCH[device],
        strides=STRIDES,
        kernels=((1, 3, 3), *((3, 3, 3),) * 5),
        features=(32, 64, 128, 256, 320, 320),
    )
    network = spec(name).model_copy(update={} if mixer == "with" else {"mixer": "none"})
    plan = Plan(
        name="flare22",
        channels=("CT",),
        labels={index: f"organ {index}" for index in range(1, 14)},
        spacing_mm=(2.5, 0.8, 0.8),
        normalisation=(Normalisation(scheme="ct", clip=(-1, 1)),),
        topology=topology,
        network=network,
        batch=BATCH[device],
        batch_dice=True,
        train=Recipe(precision="auto"),
    )
    compute = computing.choose(device, "auto")
    learner = Learner(build(network, topology, 1, 14), plan, compute)
    shape = (BATCH[device], *topology.patch)
    images = torch.randn(shape[0], 1, *shape[1:], device=compute.device)
    labels = torch.randint(0, 14, shape, device=compute.device)
    times = []
    for _ in range(STEPS[device] + 2):
        started = time.perf_counter()
        learner.step(Batch(images, labels), 1e-3)
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    if device == "cuda":
        peak = torch.cuda.max_memory_allocated()
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return statistics.median(times[2:]), peak / 2**30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", nargs=2, help="run one variant: network, with or without")
    options = parser.parse_args()
    import torch

    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if options.one:
        print(*step(*options.one, device, options.threads))
        return
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for _ in range(options.repeats):
        for name in NETWORKS:
            for mixer in ("with", "without"):
                command = [sys.executable, __file__, "--device", device]
                command += ["--threads", str(options.threads), "--one", name, mixer]
                done = subprocess.run(command, check=False, capture_output=True, text=True)
                if done.returncode:
                    sys.exit(f"{name} {mixer} mixers: {done.stderr.strip()}")
                seconds, memory = map(float, done.stdout.split())
                found.setdefault((name, mixer), []).append((seconds, memory))
    patch = "x".join(map(str, PATCH[device]))
    print(f"| network, {BATCH[device]}x1x{patch} | s/step | without | ratio | GiB | without |")
    print("|---|---|---|---|---|---|")
    for name in NETWORKS:
        ours, bare = (
            [statistics.median(column) for column in zip(*found[name, mixer], strict=True)]
            for mixer in ("with", "without")
        )
        numbers = f"{ours[0]:.3f} | {bare[0]:.3f} | {ours[0] / bare[0]:.2f}"
        print(f"| {name} | {numbers} | {ours[1]:.1f} | {bare[1]:.1f} |")


if __name__ == "__main__":
    main()
