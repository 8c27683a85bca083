"""The fingerprint of a dataset: geometry, intensities, class sizes; case by case, then merged."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from segttt.cases import Volume
from segttt.config.dataset import BOUNDARY, INTERIOR, Dataset
from segttt.config.fingerprint import CaseFacts, ChannelFacts, Fingerprint
from segttt.errors import LabelError
from segttt.geometry.slabs import slab_slices, value_counts
from segttt.preprocessing.crop import nonzero, nonzero_box
from segttt.preprocessing.instances import interior_and_boundary

SEED = 1234
MAX_SAMPLES = 100_000
"""Per case; the error of a mean is then a third of a percent of one deviation."""
MAX_TOTAL = 20_000_000
"""Over all cases and per channel, so that merging stays below about half a gigabyte."""


@dataclass(frozen=True)
class CaseSample:
    """What one case adds to the fingerprint."""

    facts: CaseFacts
    intensities: np.ndarray
    """(c, n) float32, sampled foreground voxels; n is 0 in a case without foreground."""
    class_voxels: dict[str, int]


def case_sample(volume: Volume, dataset: Dataset, *, total_cases: int) -> CaseSample:
    """Facts, foreground intensities and class sizes of one case, after cropping to non-zero.

    Foreground is every label above 0. Up to MAX_SAMPLES of its voxels are drawn without
    replacement with the seed 1234, all of them where there are fewer. nnU-Net instead draws
    1e8 / cases with replacement; both give every case the same weight in `merge`.
    """
    # Filling holes would not change the box.
    start, stop = nonzero_box(nonzero(volume.image))
    box = tuple(slice(low, high) for low, high in zip(start, stop, strict=True))
    image, shape = volume.image[:, *box], volume.image.shape[1:]
    z, y, x = (high - low for low, high in zip(start, stop, strict=True))
    facts = CaseFacts(
        id=volume.case.id,
        shape=(z, y, x),
        full_shape=(shape[0], shape[1], shape[2]),
        spacing_mm=volume.grid.spacing_mm,
        relative_size=z * y * x / prod(shape),
    )
    label = np.zeros((z, y, x), dtype=np.int16) if volume.label is None else volume.label[box]
    most = max(1, min(MAX_SAMPLES, MAX_TOTAL // max(total_cases, 1)))
    return CaseSample(facts, _sampled(image, label, most), _class_voxels(label, dataset))


def merge(samples: Sequence[CaseSample]) -> Fingerprint:
    """The fingerprint of all cases, sorted by id; each case with foreground weighs the same.

    Raises `LabelError` where no case has any foreground.
    """
    samples = sorted(samples, key=lambda sample: sample.facts.id)
    found = [sample.intensities for sample in samples if sample.intensities.shape[1]]
    if not found:
        raise LabelError(
            f"None of the {len(samples)} training cases has a labelled voxel. "
            "Are the label maps those of these images?"
        )
    values = np.concatenate(found, axis=1)
    weights = np.concatenate([np.full(one.shape[1], 1 / one.shape[1]) for one in found])
    names = {name: None for sample in samples for name in sample.class_voxels}
    return Fingerprint(
        cases=tuple(sample.facts for sample in samples),
        channels=tuple(_channel(channel, weights) for channel in values),
        class_voxels={
            name: sum(sample.class_voxels.get(name, 0) for sample in samples) for name in names
        },
    )


def _sampled(image: np.ndarray, label: np.ndarray, most: int) -> np.ndarray:
    """The intensities of drawn foreground voxels; which, is drawn by their rank among all."""
    parts = list(slab_slices(label.shape))
    ends = np.cumsum([0, *(int((label[part] > 0).sum()) for part in parts)])
    if ends[-1] > most:
        drawn = np.random.default_rng(SEED).choice(int(ends[-1]), most, replace=False)
    else:
        drawn = np.arange(ends[-1])
    order = np.argsort(drawn)
    ranks = drawn[order]
    found = np.empty((len(image), len(drawn)), np.float32)
    for part, first, last in zip(parts, ends[:-1], ends[1:], strict=True):
        here = slice(*np.searchsorted(ranks, (first, last)))
        places = np.flatnonzero(label[part] > 0)[ranks[here] - first]
        found[:, order[here]] = image[:, part].reshape(len(image), -1)[:, places]
    return found


def _class_voxels(label: np.ndarray, dataset: Dataset) -> dict[str, int]:
    """Foreground voxels per class name; a declared class that is absent counts 0."""
    if dataset.instances:
        classes = interior_and_boundary(label.astype(np.int32))
        return {INTERIOR: int((classes == 1).sum()), BOUNDARY: int((classes == 2).sum())}
    counts = dict.fromkeys(dataset.labels.values(), 0)
    for value, count in value_counts(label).items():
        if value > 0:
            name = dataset.labels.get(value, str(value))
            counts[name] = counts.get(name, 0) + count
    return counts


def _channel(values: np.ndarray, weights: np.ndarray) -> ChannelFacts:
    """Statistics of one channel under the weights of its voxels."""
    order = np.argsort(values)
    ranked, share = values[order].astype(np.float64), np.cumsum(weights[order])
    # A voxel stands for the middle of its share, the smallest one is percentile 0, the largest 100,
    # so that equal weights give NumPy's percentiles, as in nnU-Net.
    middle = share - weights[order] / 2
    sought = middle[0] + np.array((0.005, 0.5, 0.995)) * (middle[-1] - middle[0])
    low, median, high = np.interp(sought, middle, ranked)
    mean = float(np.average(values, weights=weights))
    deviation = np.average((values.astype(np.float64) - mean) ** 2, weights=weights) ** 0.5
    return ChannelFacts(
        mean=mean,
        median=float(median),
        std=float(deviation),
        min=float(ranked[0]),
        max=float(ranked[-1]),
        percentile_00_5=float(low),
        percentile_99_5=float(high),
    )
