"""Parity of training: targets, loss, learning rate, sampled windows, and a few steps."""

from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import nn

from benchmarks.peers import names
from benchmarks.peers.networks import job
from benchmarks.peers.peer import Arrays, Peer
from benchmarks.peers.planning import Known
from benchmarks.peers.rows import SURE, Row, relative
from segttt.cases import Batch
from segttt.config.network import Topology
from segttt.config.plan import Plan
from segttt.config.recipe import Recipe
from segttt.data.sampler import Sampler
from segttt.engine.compute import Compute
from segttt.engine.learner import Learner
from segttt.engine.optimise import learning_rate
from segttt.engine.windows import gaussian, steps
from segttt.losses.compound import deep_supervision_loss, output_weights, shrink_labels
from segttt.losses.dice import dice_and_cross_entropy
from segttt.networks.build import build

SMALL = Topology(
    patch=(16, 24, 16),
    strides=((1, 1, 1), (2, 2, 2), (1, 2, 2)),
    kernels=((3, 3, 3),) * 3,
    features=(8, 16, 24),
)
CPU = Compute(torch.device("cpu"), torch.float32)
EPOCH, STEPS, BATCH = 400, 4, 3
SIZES, PATCHES, OVERLAPS = range(8, 700, 3), (8, 20, 28, 56, 64, 96, 160, 224), (0.5, 0.25)
MAPS = ((16, 16, 16), (40, 56, 40), (8, 64, 48), (1, 40, 30))


def compare(peer: Peer, known: Known) -> list[Row]:
    """Everything between the augmented patch and the new weights, and what windows are chosen."""
    return [*_training(peer, known), *_windows(peer), *_sampling(peer)]


def _training(peer: Peer, known: Known) -> list[Row]:
    plan = known.plan(3).model_copy(update={"topology": SMALL, "batch": BATCH})
    random = np.random.default_rng(0)
    levels = [SMALL.stage_shape(stage) for stage in range(SMALL.stages - 1)]
    arrays: Arrays = {
        "labels": random.integers(0, plan.classes, (BATCH, 1, *SMALL.patch)).astype(np.int16),
        "images": random.normal(size=(BATCH, 1, *SMALL.patch)).astype(np.float32),
    }
    arrays["labels"][0][arrays["labels"][0] == 1] = 0  # a class that one sample lacks
    for level, shape in enumerate(levels):
        logits = random.normal(size=(BATCH, plan.classes, *shape)) * 3
        arrays[f"logits {level}"] = logits.astype(np.float32)
    torch.manual_seed(0)
    network = build(plan.network, SMALL, 1, plan.classes)
    wanted = parameter_names(peer)
    arrays |= {f"weight {k}": v for k, v in names.theirs(network, wanted).items()}
    settings = {
        "plans": _their_plans(known, plan), "dataset": known.raw.description(),
        "epoch": EPOCH, "steps": STEPS,
    }  # fmt: skip
    values, found = peer.run("training", settings, arrays)
    return [*_loss_rows(arrays, values, found, len(levels)), *_step_rows(
        plan, network, arrays, values, found
    )]  # fmt: skip


def parameter_names(peer: Peer) -> list[str]:
    """Names of nnU-Net's parameters of the small network."""
    one = job("nnunet", SMALL, channels=1, classes=3)
    shapes = {"small input": np.zeros((1, 1, *SMALL.patch), np.float32)}
    listed, _ = peer.run("network", {"jobs": {"small": one}}, shapes)
    return listed["small"]


def _their_plans(known: Known, plan: Plan) -> dict[str, Any]:
    theirs = known.plans["plain"]
    one = theirs["configurations"]["3d_fullres"]
    built = job("nnunet", SMALL, channels=1, classes=plan.classes)["plans"]["configurations"][
        "only"
    ]["architecture"]
    one = one | {"patch_size": SMALL.patch, "batch_size": plan.batch, "architecture": built}
    return theirs | {"configurations": {"3d_fullres": one}}


def _loss_rows(arrays: Arrays, values: dict, found: Arrays, levels: int) -> list[Row]:
    labels = torch.from_numpy(arrays["labels"][:, 0]).long()
    logits = [torch.from_numpy(arrays[f"logits {level}"]) for level in range(levels)]
    targets = [shrink_labels(labels, one.shape[2:]) for one in logits]
    wrong = max(
        float((one.numpy() != found[f"target {level}"][:, 0]).mean())
        for level, one in enumerate(targets)
    )
    weights = output_weights("halving", levels)
    alone, total = 0.0, 0.0
    for over_batch in (False, True):
        ours = [
            dice_and_cross_entropy(a, b, over_batch=over_batch).item()
            for a, b in zip(logits, targets, strict=True)
        ]
        alone = max(alone, relative(ours, values["losses"][str(over_batch)]))
        whole = deep_supervision_loss(logits, labels, weights, over_batch=over_batch).item()
        total = max(total, relative([whole], [values[f"total {over_batch}"]]))
    rates = [learning_rate(Recipe(), epoch / 1000) for epoch in range(1000)]
    both = "Dice per sample and over the batch"
    title = "random logits"
    return [
        Row("deep-supervision targets", title, wrong, 0.0, "share of voxels"),
        Row("deep-supervision weights", title, relative(weights, values["weights"]), 1e-12),
        Row("cross-entropy and Dice per output", title, alone, 1e-5, f"relative; {both}"),
        Row("loss over all outputs", title, total, 1e-5, f"relative; {both}"),
        Row("learning rate", "1000 epochs", relative(rates, values["rates"]), 1e-12, "relative"),
    ]


def _step_rows(
    plan: Plan, network: nn.Module, arrays: Arrays, values: dict, found: Arrays
) -> list[Row]:
    """The trainer's own steps with the same start and the same batch (batch Dice is on there)."""
    learner = Learner(network, plan.model_copy(update={"batch_dice": True}), CPU)
    network.train()
    labels = torch.from_numpy(arrays["labels"][:, 0]).long()
    batch = Batch(torch.from_numpy(arrays["images"]), labels)
    rate = learning_rate(Recipe(), EPOCH / 1000)
    losses = [learner.step(batch, rate) for _ in range(STEPS)]
    listed = [name.removeprefix("weight ") for name in found if name.startswith("weight ")]
    ours = names.theirs(network, listed)
    apart = max(float(np.abs(ours[name] - found[f"weight {name}"]).max()) for name in listed)
    moved = max(float(np.abs(found[f"weight {n}"] - arrays[f"weight {n}"]).max()) for n in listed)
    title = f"{STEPS} steps of the trainer"
    return [
        Row("loss of each step", title, relative(losses, values["steps"]), 1e-4, "relative"),
        Row("weights afterwards", title, apart / moved, 1e-3, "of their largest change"),
    ]


def _windows(peer: Peer) -> list[Row]:
    axes = [(n, p, 1 - o) for p in PATCHES for n in SIZES if n >= p for o in OVERLAPS]
    values, found = peer.run("windows", {"axes": axes, "patches": MAPS})
    wrong = sum(
        steps(size, patch, 1 - step) != his
        for (size, patch, step), his in zip(axes, values["steps"], strict=True)
    )
    apart = max(
        float(np.abs(gaussian(patch, CPU.device).numpy() - found[str(index)]).max()) / 10
        for index, patch in enumerate(MAPS)
    )
    rounding = "of the peak; nnU-Net's map is in half precision"
    return [
        Row("sliding-window steps", f"{len(axes)} axes", wrong, 0, "axes that differ"),
        Row("Gaussian map", f"{len(MAPS)} patches", apart, 1e-3, rounding),
    ]


class _Case:
    """A case of given size and foreground, as the sampler sees it."""

    def __init__(self, shape: tuple[int, int, int], locations: dict[int, np.ndarray]):
        self.shape, self.locations = shape, locations


def _sampling(peer: Peer, draws: int = 4000) -> list[Row]:
    batches = list(range(1, 65))
    windows = [
        {"shape": [35, 50, 36], "reach": [73, 80, 64], "patch": [40, 56, 40]},
        {"shape": [120, 90, 200], "reach": [61, 70, 81], "patch": [40, 50, 60]},
        {"shape": [9, 90, 60], "reach": [1, 80, 70], "patch": [1, 48, 48]},
    ]  # fmt: skip
    random = np.random.default_rng(3)
    voxels = {1: random.integers(0, 9, (500, 3)), 2: random.integers(3, 9, (7, 3))}
    settings = {"batches": batches, "windows": windows, "draws": draws, "seed": 0}
    forced, found = peer.run("sampling", settings, {f"class {k}": v for k, v in voxels.items()})
    somewhere = _Case((64, 64, 64), {1: np.array([[63, 63, 63]])})
    wrong = 0
    for batch in batches:
        # Windows of an odd edge centred on the last voxel overhang as no free window does.
        ours = Sampler((9, 9, 9), (9, 9, 9), batch, 0.33).windows(random, [somewhere])
        wrong += sum(one.start == (59, 59, 59) for one in ours) != forced[str(batch)]
    least = 1.0
    for index, one in enumerate(windows):
        case = _Case(tuple(one["shape"]), voxels)
        for kind, share in (("free", 0.0), ("forced", 1.0)):
            sampler = Sampler(tuple(one["reach"]), tuple(one["patch"]), 1, share)
            starts = np.array([sampler.windows(random, [case])[0].start for _ in range(draws)])
            for axis in range(3):
                pair = starts[:, axis], found[f"{kind} {index}"][:, axis]
                least = min(least, float(stats.ks_2samp(*pair).pvalue))
    return [
        Row("samples forced to the foreground", "batches of 1 to 64", wrong, 0,
            "batches that differ"),
        Row("corners of drawn windows", "3 shapes, free and forced", least, SURE,
            f"Kolmogorov-Smirnov, {draws} draws, the least of 18", probability=True),
    ]  # fmt: skip
