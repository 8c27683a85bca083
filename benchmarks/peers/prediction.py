"""Parity of sliding-window prediction with the weights of a network that has learnt something."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import nn

from benchmarks.peers import names
from benchmarks.peers.networks import job
from benchmarks.peers.peer import Arrays, Peer
from benchmarks.peers.planning import Known
from benchmarks.peers.rows import Row, of_range, unequal
from benchmarks.peers.training import CPU, SMALL, parameter_names
from segttt.cases import Batch, PreparedCase
from segttt.config.plan import Plan
from segttt.engine.learner import Learner
from segttt.engine.predict import SlidingWindow
from segttt.engine.windows import corners
from segttt.io.check import case_of
from segttt.io.volumes import read_volume
from segttt.networks.build import build
from segttt.preprocessing.pipeline import prepare

STEPS, BATCH, RATE = 60, 2, 0.003
SHOWN = 3
"""Cases that are predicted; the others train."""
LABEL_BAR, LOGIT_BAR = 1e-3, 1e-4


def compare(peer: Peer, known: Known) -> list[Row]:
    """Train a little, then predict the same prepared images with the same weights."""
    plan = known.plan(3).model_copy(update={"topology": SMALL, "batch_dice": True})
    cases = [prepare(read_volume(case_of(one), None), plan) for one in known.dataset.cases]
    network = _trained(plan, cases[SHOWN:])
    weights = names.theirs(network, parameter_names(peer))
    jobs: dict[str, Any] = {}
    arrays: Arrays = {}
    for index, case in enumerate(cases[:SHOWN]):
        jobs[str(index)] = job("nnunet", SMALL, channels=1, classes=plan.classes)
        arrays |= {f"{index} weight {name}": value for name, value in weights.items()}
        arrays[f"{index} input"] = np.zeros((1, 1, *SMALL.patch), np.float32)
        arrays[f"{index} image"] = case.image
    _, found = peer.run("network", {"jobs": jobs}, arrays)
    return [row for mirror in (False, True) for row in _rows(
        plan, network, cases[:SHOWN], found, mirror=mirror
    )]  # fmt: skip


def _trained(plan: Plan, cases: Sequence[PreparedCase]) -> nn.Module:
    torch.manual_seed(0)
    plan = plan.model_copy(update={"train": plan.train.model_copy(update={"optimizer": "adamw"})})
    learner = Learner(build(plan.network, SMALL, 1, plan.classes), plan, CPU)
    learner.network.train()
    random = np.random.default_rng(0)
    for _ in range(STEPS):
        chosen = random.integers(len(cases), size=BATCH)
        learner.step(_batch(random, [cases[index] for index in chosen]), RATE)
    return learner.network.eval()


def _batch(random: np.random.Generator, cases: Sequence[PreparedCase]) -> Batch:
    images, labels = [], []
    for case in cases:
        start = [int(random.integers(n - p + 1)) for n, p in zip(
            case.image.shape[1:], SMALL.patch, strict=True
        )]  # fmt: skip
        box = tuple(slice(a, a + n) for a, n in zip(start, SMALL.patch, strict=True))
        label = np.zeros(SMALL.patch) if case.label is None else case.label[box]
        images.append(torch.from_numpy(case.image[:, *box].copy()))
        labels.append(torch.from_numpy(np.maximum(label, 0)).long())
    return Batch(torch.stack(images), torch.stack(labels))


def _rows(
    plan: Plan, network: nn.Module, cases: Sequence[PreparedCase], found: Arrays, *, mirror: bool
) -> list[Row]:
    inference = plan.predict.model_copy(update={"mirror": mirror})
    window = SlidingWindow([network], plan.model_copy(update={"predict": inference}), CPU)
    ours, theirs, classes, seen = [], [], [], set()
    for index, case in enumerate(cases):
        his = found[f"{index} predicted {mirror}"].astype(np.float32)
        blended = torch.cat(list(window.slabs(case.image)), dim=1).numpy()
        classes.append(unequal(blended.argmax(0), his.argmax(0)))
        seen |= set(np.unique(his.argmax(0)).tolist())
        if not mirror:
            exact = _exact(network, case.image)
            ours.append(of_range(blended, exact))
            theirs.append(of_range(his, exact))
    title = f"{len(cases)} hippocampus cases, {'' if mirror else 'not '}mirrored"
    note = f"share of voxels; classes found: {', '.join(map(str, sorted(seen)))}"
    rows = [Row("segmentation", title, max(classes), LABEL_BAR, note)]
    if ours:
        note = f"of the range; nnU-Net, which adds up in half precision, {max(theirs):.2g}"
        rows.append(Row("blended logits against float64", title, max(ours), LOGIT_BAR, note))
    return rows


def _exact(network: nn.Module, image: np.ndarray) -> np.ndarray:
    """Logits of all windows under a Gaussian of an eighth of the patch, in float64."""
    point = np.zeros(SMALL.patch)
    point[tuple(edge // 2 for edge in SMALL.patch)] = 1
    weight = ndimage.gaussian_filter(point, [edge / 8 for edge in SMALL.patch], mode="constant")
    total, weights = 0.0, np.zeros(image.shape[1:])
    for corner in corners(image.shape[1:], SMALL.patch, 0.5):
        box = tuple(slice(a, a + n) for a, n in zip(corner, SMALL.patch, strict=True))
        with torch.no_grad():
            logits = network(torch.from_numpy(image[:, *box].copy())[None])[0][0].numpy()
        placed = np.zeros((len(logits), *weights.shape))
        placed[:, *box] = logits * weight
        total, weights[box] = total + placed, weights[box] + weight
    return total / weights
