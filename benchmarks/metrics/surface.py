"""Surface metrics: CPU time and agreement with other implementations.

    pip install monai nnunetv2==2.8.1
    pip install --no-deps --target /tmp/reference surface-distance==0.1
    python -m benchmarks.metrics.surface --reference /tmp/reference [--pairs 1000]

Thirteen ellipsoid organs at two resolutions, without and with stray false positives: NSD, HD95 and
ASSD of all organs by segttt, by DeepMind's surface-distance and (NSD only) by MONAI; Dice, IoU and
these by segttt against the Dice, IoU and counts of nnU-Net's compute_metrics, once on volumes in
memory (as its reader gives them, in float32), once from .nii.gz files. CPU seconds of one thread,
best of three; single-threaded libraries need OMP_NUM_THREADS=1.
"""

import argparse
import sys
import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import SimpleITK as sitk
import torch
from monai.metrics.surface_dice import compute_surface_dice
from nnunetv2.evaluation.evaluate_predictions import compute_metrics
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

from benchmarks.metrics.organs import ORGANS, TOLERANCES, Pair, Three, balls, organs, random_mask
from segttt.commands.scores.scoring import Kind, score_files
from segttt.config.report import Scoring
from segttt.metrics.overlap import overlap
from segttt.metrics.surface import assd, hd95, nsd, surface_scores, surfaces
from segttt.metrics.surface_elements import areas

GRIDS = [((128, 256, 256), (3.0, 1.5, 1.5)), ((256, 512, 512), (1.5, 0.75, 0.75))]
SPACINGS = [(1.0, 1.0, 1.0), (5.0, 0.7, 0.7), (2.5, 0.78125, 0.78125), (1.1, 1.1, 1.1)]


def load(folder: Path) -> ModuleType:
    """The reference implementation, with the names that NumPy 2 took away."""
    np.Inf, np.NaN = np.inf, np.nan
    sys.path.insert(0, str(folder))
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    from surface_distance import metrics

    return metrics


def by_reference(
    module: ModuleType, truth: np.ndarray, prediction: np.ndarray, spacing: Three, tolerance: float
) -> tuple[float, float, float]:
    found = module.compute_surface_distances(truth, prediction, spacing)
    return (
        module.compute_surface_dice_at_tolerance(found, tolerance),
        module.compute_robust_hausdorff(found, 95),
        sum(module.compute_average_surface_distance(found)) / 2,
    )


def by_monai(truth: torch.Tensor, prediction: torch.Tensor, spacing: Three) -> torch.Tensor:
    return compute_surface_dice(
        prediction, truth, list(TOLERANCES.values()), spacing=spacing, use_subvoxels=True
    )


def one_hot(volume: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack([volume == label for label in (0, *ORGANS)]))[None]


class InMemory:
    """A reader of nnU-Net's evaluation for volumes that are read already."""

    def __init__(self, truth: np.ndarray, prediction: np.ndarray):
        self.volumes = {
            name: values[None].astype(np.float32)
            for name, values in (("truth", truth), ("prediction", prediction))
        }

    def read_seg(self, name: str) -> tuple[np.ndarray, dict]:
        return self.volumes[name], {}


def written(folder: Path, truth: np.ndarray, prediction: np.ndarray, spacing: Three) -> list[Path]:
    """Prediction and truth as files."""
    paths = []
    for name, values in (("prediction", prediction), ("truth", truth)):
        image = sitk.GetImageFromArray(values)
        image.SetSpacing(spacing[::-1])
        paths.append(folder / f"{name}.nii.gz")
        sitk.WriteImage(image, str(paths[-1]), useCompression=True)
    return paths


def cpu_seconds(work: Callable[[], object], times: int = 3) -> float:
    def once() -> float:
        started = time.process_time()
        work()
        return time.process_time() - started

    return min(once() for _ in range(times))


def peak_mib(work: Callable[[], object]) -> float:
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


def report_organs(reference: ModuleType) -> None:
    print("| case | segttt | surface-distance | MONAI, NSD only | peak ", end="")
    print("| all scores | nnU-Net, Dice | all scores, files | nnU-Net, files |\n|" + " --- |" * 9)
    for shape, spacing in GRIDS:
        for stray in (False, True):
            pair = organs(shape, spacing, stray=stray)
            name = f"{'x'.join(map(str, shape))}{', stray' if stray else ''}"
            print(f"| {name} {surface_times(reference, pair, spacing)}", end="", flush=True)
            print(f"{whole_times(pair, spacing)}|", flush=True)


def surface_times(reference: ModuleType, pair: Pair, spacing: Three) -> str:
    """Times of the surface metrics alone."""
    truth, prediction = pair
    hot = one_hot(truth), one_hot(prediction)

    def ours():
        return surface_scores(truth, prediction, list(ORGANS), spacing, TOLERANCES)

    def theirs():
        for label, tolerance in TOLERANCES.items():
            by_reference(reference, truth == label, prediction == label, spacing, tolerance)

    a, b, c = map(cpu_seconds, (ours, theirs, lambda: by_monai(*hot, spacing)))
    return (
        f"| {a:.3f} s | {b:.3f} s ({b / a:.1f}x) | {c:.2f} s ({c / a:.0f}x) "
        f"| {peak_mib(ours):.0f} MiB "
    )


def whole_times(pair: Pair, spacing: Three) -> str:
    """Times of all scores and of nnU-Net's, from memory and from files."""
    reader = InMemory(*pair)
    rules = Scoring(tolerances_mm=TOLERANCES)
    names = {label: str(label) for label in ORGANS}

    def ours():
        overlap(*pair, list(ORGANS))
        surface_scores(*pair, list(ORGANS), spacing, TOLERANCES)

    def theirs():
        compute_metrics("truth", "prediction", reader, list(ORGANS))

    with tempfile.TemporaryDirectory() as folder:
        found, true = written(Path(folder), *pair, spacing)

        def our_files():
            score_files("case", (found, true), names, Kind(False, False), [rules])

        def their_files():
            compute_metrics(str(true), str(found), SimpleITKIO(), list(ORGANS))

        a, b, c, d = map(cpu_seconds, (ours, theirs, our_files, their_files))
    return f"| {a:.3f} s | {b:.3f} s ({b / a:.1f}x) | {c:.2f} s | {d:.2f} s ({d / c:.1f}x) "


def report_far(reference: ModuleType) -> None:
    spacing = (1.0, 1.0, 1.0)
    for name, (truth, prediction) in {
        "apart": balls((64, 60), (190, 60)),
        "one inside the other": balls((128, 120), (128, 60)),
    }.items():
        started = time.process_time()
        surface_scores(truth, prediction, [1], spacing, {1: 2.0})
        ours = time.process_time() - started
        by_reference(reference, truth > 0, prediction > 0, spacing, 2.0)
        theirs = time.process_time() - started - ours
        print(f"balls {name}: {ours:.2f} s, surface-distance {theirs:.2f} s")


def report_pairs(reference: ModuleType, pairs: int) -> None:
    """Largest differences; HD95 apart where exactly 95 % are reached, up to rounding."""
    random = np.random.default_rng(0)
    worst, ties, empty = np.zeros(3), 0, 0
    for pair in range(pairs):
        shape = (1, *random.integers(1, 30, 2)) if pair % 3 == 0 else random.integers(2, 18, 3)
        kind = int(random.integers(0, 3))
        truth, prediction = (random_mask(random, tuple(shape), kind) for _ in range(2))
        for mask in (truth, prediction):
            mask &= random.random() > 0.05
        spacing = SPACINGS[random.integers(4)] if pair % 2 else tuple(random.uniform(0.3, 5, 3))
        tolerance = float(random.choice([0.0, 1.0, 2.1, 3.3, random.uniform(0, 6)]))
        empty += not (truth.any() and prediction.any())
        both = surfaces(truth, prediction, spacing)
        flat = (
            (truth[0], prediction[0], spacing[1:])
            if len(truth) == 1
            else (truth, prediction, spacing)
        )
        expected = by_reference(reference, *flat, tolerance)
        found = nsd(both, tolerance), hd95(both), assd(both)
        off = np.array([apart(*values) for values in zip(found, expected, strict=True)])
        tie = off[1] > 0 and any(
            np.abs(np.cumsum(side.areas) / side.areas.sum() - 0.95).min() < 1e-12
            for side in (both.truth, both.prediction)
        )
        ties += tie
        worst = np.maximum(worst, np.where([False, tie, False], 0, off))
    print(f"{pairs} pairs ({empty} with an empty side), largest difference of NSD, ", end="")
    print(f"HD95 (mm), ASSD (mm): {worst}; ties: {ties}")


def apart(ours: float | None, theirs: float) -> float:
    """Difference; no value of ours stands for NaN and infinity."""
    if ours is None or not np.isfinite(theirs):
        return 0.0 if ours is None and not np.isfinite(theirs) else np.inf
    return abs(ours - theirs)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--reference", type=Path, required=True, help="folder with the package surface_distance"
    )
    parser.add_argument("--pairs", type=int, default=1000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=FutureWarning)
    print(
        f"table of areas, once per process: {cpu_seconds(lambda: areas((1.0, 1.0, 1.0)), 1):.3f} s"
    )
    reference = load(options.reference)
    np.seterr(invalid="ignore", divide="ignore")
    report_pairs(reference, options.pairs)
    report_organs(reference)
    report_far(reference)


if __name__ == "__main__":
    main()
