"""What a plan will cost: parameters, memory, disk, and time from one measured step."""

import time
from dataclasses import dataclass
from math import prod

import torch

from segttt.cases import Batch
from segttt.config.fingerprint import Fingerprint
from segttt.config.network import NetworkSpec, Topology
from segttt.config.plan import Plan
from segttt.engine import compute as computing
from segttt.engine.learner import Learner
from segttt.networks.build import build, parameter_count
from segttt.networks.sizes import patch_multiple
from segttt.planning.budget import disk_bytes, training_memory_bytes

MEASURED_VOXELS = 65_536  # a step of this size takes seconds on a laptop, whatever the plan
FEWEST = 3  # voxels along an edge of the bottleneck; kernels of narrower maps see only padding


@dataclass(frozen=True)
class Estimate:
    """Costs of a training."""

    parameters: int
    memory_bytes: int | None
    """None: no estimate for this kind of network."""
    disk_bytes: int
    seconds_per_epoch: float | None
    seconds_in_all: float | None
    how: str


def estimate(plan: Plan, fingerprint: Fingerprint, *, measure: bool) -> Estimate:
    """Costs of training the plan here; the time scales one measured step by its voxels."""
    parameters = parameter_count(plan.network, plan.topology, len(plan.channels), plan.classes)
    per_epoch, how = _measured(plan) if measure else (None, "")
    return Estimate(
        parameters=parameters,
        memory_bytes=training_memory_bytes(plan, parameters),
        disk_bytes=disk_bytes(fingerprint, plan),
        seconds_per_epoch=per_epoch,
        seconds_in_all=None if per_epoch is None else per_epoch * plan.train.epochs,
        how=how,
    )


def _measured(plan: Plan) -> tuple[float, str]:
    """Seconds per epoch, from the second of two steps on one sample of a small patch."""
    small = plan.model_copy(update={"topology": _small(plan.network, plan.topology), "batch": 1})
    compute = computing.choose("auto", plan.train.precision, plan.train.scan)
    network = build(small.network, small.topology, len(plan.channels), plan.classes)
    learner = Learner(network, small, compute)
    patch = small.topology.patch
    images = torch.rand(1, len(plan.channels), *patch, device=compute.device)
    batch = Batch(images, torch.zeros(1, *patch, dtype=torch.long, device=compute.device))
    learner.step(batch, plan.train.lr)
    started = time.perf_counter()
    learner.step(batch, plan.train.lr)
    scale = plan.batch * prod(plan.topology.patch) / prod(patch)
    step = (time.perf_counter() - started) * scale
    # a validation batch has no backward pass, which takes two thirds of a step
    steps = plan.train.iterations + plan.train.val_iterations / 3
    size = " x ".join(map(str, patch))
    return step * steps, f"one step of 1 x {size} measured on {compute.device}"


def _small(network: NetworkSpec, topology: Topology) -> Topology:
    """The same stages with a patch of few voxels, its bottleneck no narrower than three."""
    step = patch_multiple(network, topology)
    smallest = [min(size, FEWEST * n) for size, n in zip(topology.patch, step, strict=True)]
    patch = list(topology.patch)
    while prod(patch) > MEASURED_VOXELS and patch != smallest:
        axis = max(range(len(patch)), key=lambda a: patch[a] / smallest[a])
        patch[axis] -= step[axis]
    return topology.model_copy(update={"patch": tuple(patch)})
