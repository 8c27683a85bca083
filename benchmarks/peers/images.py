"""Parity of prepared images and label maps, and of segmentations brought back to the scan."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

from benchmarks.peers.datasets import Raw
from benchmarks.peers.peer import Peer
from benchmarks.peers.planning import Known
from benchmarks.peers.rows import Row, of_range, unequal
from segttt.cases import Orientation, PreparedCase, Volume
from segttt.config.plan import Plan
from segttt.io.check import case_of
from segttt.io.orient import turn_back
from segttt.io.store import class_locations
from segttt.io.volumes import read_volume
from segttt.preprocessing.pipeline import prepare, restore
from segttt.shapes import Triple

IMAGE_BAR, LABEL_BAR = 1e-3, 1e-3


@dataclass(frozen=True)
class Job:
    """Cases of a dataset under one configuration."""

    known: Known
    configuration: str
    cases: tuple[str, ...]
    spacing_mm: Triple | None = None
    """Target spacing in the plan's axes; None: as planned."""
    note: str = ""
    mirrored_ties: bool = False
    """New voxels lie halfway between old ones, and the file runs against the canonical axes."""

    @property
    def raw(self) -> Raw:
        """The dataset."""
        return self.known.raw

    @property
    def title(self) -> str:
        """Of the rows."""
        spacing = self.spacing_mm or self.known.plan(3).spacing_mm
        steps = " x ".join(f"{step:.3g}" for step in spacing)
        return f"{self.raw.title}, {self.configuration}, to {steps} mm"

    def plans(self) -> tuple[Plan, dict]:
        """Ours and nnU-Net's, on the same spacing."""
        ours = self.known.plan(2 if self.configuration == "2d" else 3)
        theirs = self.known.plans["plain"]
        if self.spacing_mm is None:
            return ours, theirs
        one = theirs["configurations"][self.configuration] | {"spacing": list(self.spacing_mm)}
        theirs = theirs | {"configurations": {self.configuration: one}}
        return ours.model_copy(update={"spacing_mm": self.spacing_mm}), theirs


def compare(peer: Peer, known: Sequence[Known]) -> list[Row]:
    """Every dataset at its planned spacing, and at others that resample more."""
    hippocampus, abdomen, flat, long = known
    every = flat.raw.cases
    jobs = [
        Job(hippocampus, "3d_fullres", hippocampus.raw.cases),
        Job(hippocampus, "3d_fullres", hippocampus.raw.cases[:3], (0.7, 1.3, 0.9)),
        Job(abdomen, "3d_fullres", abdomen.raw.cases, (2.0, 2.3, 1.5)),
        Job(abdomen, "3d_fullres", abdomen.raw.cases, (6.0, 6.0, 6.0), mirrored_ties=True),
        Job(flat, "3d_fullres", every, note="separate z, mask, two channels"),
        Job(flat, "3d_fullres", every[:2], (1.5, 1.0, 1.1), "separate z, more slices"),
        Job(flat, "2d", every[:2]),
        Job(long, "3d_fullres", long.raw.cases),
        Job(long, "3d_fullres", long.raw.cases[:1], (4.0, 2.5, 4.0), "every voxel halfway"),
    ]
    return [row for job in jobs for row in _compared(peer, job)]


def _compared(peer: Peer, job: Job) -> list[Row]:
    plan, theirs = job.plans()
    volumes = {
        files.id: read_volume(case_of(files), None)
        for files in job.known.dataset.cases if files.id in job.cases
    }  # fmt: skip
    ours = {name: prepare(volume, plan) for name, volume in volumes.items()}
    logits = {name: _logits(one, plan.classes) for name, one in ours.items()}
    settings = {
        "plans": theirs, "configuration": job.configuration, "cases": list(job.cases),
        "folder": str(job.raw.folder), "dataset": job.raw.description(),
    }  # fmt: skip
    handed = {
        name: np.ascontiguousarray(_as_filed(one, volumes[name].orientation, plan))
        for name, one in logits.items()
    }
    facts, found = peer.run("prepare", settings, handed)
    images, labels, restored = [], [], []
    for name, one in ours.items():
        orientation = volumes[name].orientation
        image = _as_filed(one.image, orientation, plan)
        images += [of_range(a, b) for a, b in zip(image, found[f"image {name}"], strict=True)]
        label = _as_filed(one.label, orientation, plan)
        labels.append(unequal(label, found[f"label {name}"]))
        restored.append(_restored_unequal(logits[name], one, volumes[name], found, name))
    counts = _counts_differing(ours, facts)
    label_note, tied = "share of voxels", job.mirrored_ties
    if tied:
        label_note += (
            "; halfway between two voxels, the later one in the canonical orientation "
            "is taken, so a mirrored file gives the mirrored result"
        )
    return [
        Row("image, normalised and resampled", job.title, max(images), IMAGE_BAR,
            "; ".join(part for part in (job.note, "of the range") if part)),
        Row("label map", job.title, max(labels), LABEL_BAR, label_note, intended=tied),
        Row("segmentation from logits, at the scan's spacing", job.title, max(restored), LABEL_BAR,
            "share of voxels"),
        Row("stored foreground voxels per class", job.title, counts, 0.0, "classes that differ",
            intended=tied),
    ]  # fmt: skip


def _counts_differing(ours: dict[str, PreparedCase], facts: dict) -> int:
    wrong = 0
    for name, one in ours.items():
        counts = class_locations(one.label)[1]
        his = {int(k): n for k, n in facts[name]["locations"].items() if n}
        wrong += sum(counts.get(k, 0) != his.get(k, 0) for k in {*counts, *his})
    return wrong


def _logits(prepared: PreparedCase, classes: int) -> np.ndarray:
    """Smooth logits of all classes on the prepared grid."""
    random = np.random.default_rng(5)
    noise = random.normal(size=(classes, *prepared.image.shape[1:])).astype(np.float32)
    return ndimage.gaussian_filter(noise, (0, 1.5, 2, 2)) * 20


def _restored_unequal(
    logits: np.ndarray, ours: PreparedCase, volume: Volume, found: dict, name: str
) -> float:
    classes = restore(torch.from_numpy(logits).split(7, dim=1), ours.preparation)
    return unequal(turn_back(classes, volume.orientation), found[f"restored {name}"])


def _as_filed(array: np.ndarray, orientation: Orientation, plan: Plan) -> np.ndarray:
    """An array in our plan's axes, its axes reversed where the file's run the other way."""
    if orientation.order != (0, 1, 2):
        raise ValueError("the files' axes must be those of the canonical orientation, or reversed")
    lead = array.ndim - 3
    flipped = [lead + i for i, axis in enumerate(plan.axes) if orientation.flipped[axis]]
    return np.flip(array, flipped)
