"""Surface metrics: CPU time and agreement with other implementations.

    pip install --no-deps --target /tmp/reference surface-distance==0.1
    python benchmarks/metrics/surface.py --reference /tmp/reference [--pairs 1000]

Thirteen ellipsoid organs at two resolutions, without and with stray false positives: NSD, HD95 and
ASSD of all organs by segttt, by DeepMind's surface-distance and (NSD only) by MONAI; all scores of
segttt against a Dice of one comparison per label and count. CPU seconds of one thread, best of
three; single-threaded libraries need OMP_NUM_THREADS=1. Without --reference, that column is empty.
"""

import argparse
import sys
import time
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from monai.metrics.surface_dice import compute_surface_dice

from segttt.metrics.overlap import overlap
from segttt.metrics.surface import assd, hd95, nsd, surface_scores, surfaces
from segttt.metrics.surface_elements import areas

BODY_MM = 384.0
ORGANS = {  # label -> centre as a share of the body, radii in mm (z, y, x), tolerance in mm
    1: ((0.55, 0.45, 0.30), (70, 60, 80), 5),
    2: ((0.40, 0.62, 0.33), (55, 28, 28), 3),
    3: ((0.60, 0.60, 0.75), (50, 40, 30), 3),
    4: ((0.48, 0.45, 0.52), (18, 22, 60), 5),
    5: ((0.50, 0.62, 0.50), (130, 11, 11), 2),
    6: ((0.50, 0.60, 0.44), (120, 12, 12), 2),
    7: ((0.52, 0.62, 0.38), (12, 6, 14), 2),
    8: ((0.52, 0.62, 0.63), (12, 6, 14), 2),
    9: ((0.45, 0.38, 0.37), (26, 15, 15), 2),
    10: ((0.75, 0.58, 0.50), (80, 9, 10), 3),
    11: ((0.57, 0.42, 0.65), (55, 45, 45), 5),
    12: ((0.42, 0.48, 0.45), (40, 16, 28), 7),
    13: ((0.40, 0.62, 0.67), (55, 28, 28), 3),
}
TOLERANCES = {label: float(organ[2]) for label, organ in ORGANS.items()}
GRIDS = [((128, 256, 256), (3.0, 1.5, 1.5)), ((256, 512, 512), (1.5, 0.75, 0.75))]
SPACINGS = [(1.0, 1.0, 1.0), (5.0, 0.7, 0.7), (2.5, 0.78125, 0.78125), (1.1, 1.1, 1.1)]

Pair = tuple[np.ndarray, np.ndarray]
Three = tuple[float, float, float]


def fill(
    volume: np.ndarray, spacing: Three, centre_mm: np.ndarray, radii_mm: np.ndarray, label: int
):
    """Write an ellipsoid into a volume."""
    first = np.maximum((centre_mm - radii_mm) / spacing - 1, 0).astype(int)
    last = np.minimum((centre_mm + radii_mm) / spacing + 2, volume.shape).astype(int)
    box = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
    steps = [np.arange(part.start, part.stop) for part in box]
    z, y, x = (
        ((n * s - c) / r) ** 2
        for n, s, c, r in zip(steps, spacing, centre_mm, radii_mm, strict=True)
    )
    volume[box][z[:, None, None] + y[:, None] + x <= 1] = label


def organs(shape: tuple[int, int, int], spacing: Three, *, stray: bool) -> Pair:
    """Truth and prediction; a prediction is 1.2 mm off in place and size, strays are far away."""
    random = np.random.default_rng(0)
    truth, prediction = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    for volume, error_mm in ((truth, 0.0), (prediction, 1.2)):
        for label, (centre, radii, _) in ORGANS.items():
            off, more = error_mm * random.normal(size=(2, 3))
            fill(volume, spacing, np.multiply(centre, BODY_MM) + off, radii + more, label)
    for label in ORGANS if stray else ():
        fill(prediction, spacing, random.uniform(0.1, 0.9, 3) * BODY_MM, np.full(3, 6.0), label)
    return truth, prediction


def balls(first: tuple[float, float], second: tuple[float, float]) -> Pair:
    """Two balls in 256³ voxels, by place on the diagonal and radius: no surface is near."""
    masks = np.zeros((256,) * 3, np.uint8), np.zeros((256,) * 3, np.uint8)
    for mask, (centre, radius) in zip(masks, (first, second), strict=True):
        fill(mask, (1.0, 1.0, 1.0), np.full(3, centre), np.full(3, radius), 1)
    return masks


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


def plain_dice(truth: np.ndarray, prediction: np.ndarray) -> list[float]:
    """Dice from tp, fp, fn and tn of each label, a comparison and a sum for each, as nnU-Net."""
    scores, use = [], np.ones(truth.shape, bool)
    for label in ORGANS:
        true, found = truth == label, prediction == label
        tp = np.sum((true & found) & use)
        fp = np.sum((~true & found) & use)
        fn = np.sum((true & ~found) & use)
        np.sum((~true & ~found) & use)  # tn
        scores.append(2 * tp / (2 * tp + fp + fn))
    return scores


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


def report_organs(reference: ModuleType | None) -> None:
    print("| case | segttt | surface-distance | MONAI, NSD only | all scores | Dice only | peak |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for shape, spacing in GRIDS:
        for stray in (False, True):
            truth, prediction = organs(shape, spacing, stray=stray)
            hot = one_hot(truth), one_hot(prediction)

            def ours(truth=truth, prediction=prediction, spacing=spacing):
                return surface_scores(truth, prediction, list(ORGANS), spacing, TOLERANCES)

            def theirs(truth=truth, prediction=prediction, spacing=spacing):
                for label, tolerance in TOLERANCES.items():
                    by_reference(reference, truth == label, prediction == label, spacing, tolerance)

            def whole(truth=truth, prediction=prediction, ours=ours):
                return overlap(truth, prediction, list(ORGANS)), ours()

            a = cpu_seconds(ours)
            b = cpu_seconds(theirs) if reference else float("nan")
            c = cpu_seconds(lambda hot=hot, spacing=spacing: by_monai(*hot, spacing))
            d = cpu_seconds(whole)
            e = cpu_seconds(lambda pair=(truth, prediction): plain_dice(*pair))
            name = f"{'x'.join(map(str, shape))}{', stray' if stray else ''}"
            print(
                f"| {name} | {a:.3f} s | {b:.3f} s ({b / a:.1f}x) | {c:.2f} s ({c / a:.1f}x) "
                f"| {d:.3f} s | {e:.3f} s ({e / d:.1f}x) | {peak_mib(ours):.0f} MiB |"
            )


def report_far(reference: ModuleType | None) -> None:
    spacing = (1.0, 1.0, 1.0)
    for name, (truth, prediction) in {
        "apart": balls((64, 60), (190, 60)),
        "one inside the other": balls((128, 120), (128, 60)),
    }.items():
        started = time.process_time()
        surface_scores(truth, prediction, [1], spacing, {1: 2.0})
        ours = time.process_time() - started
        if reference:
            by_reference(reference, truth > 0, prediction > 0, spacing, 2.0)
        theirs = time.process_time() - started - ours
        print(f"balls {name}: {ours:.2f} s, surface-distance {theirs:.2f} s")


def random_mask(random: np.random.Generator, shape: tuple[int, ...], kind: int) -> np.ndarray:
    """Noise, ellipsoids or boxes."""
    if kind == 0:
        return random.random(shape) < random.random() ** 2
    mask = np.zeros(shape, bool)
    for _ in range(random.integers(1, 5)):
        centre, radius = random.uniform(0, shape), random.uniform(0.5, 8, len(shape))
        away = np.abs((np.indices(shape).T - centre) / radius)
        mask |= ((away**2).sum(-1) if kind == 1 else away.max(-1)).T <= 1
    return mask


def report_pairs(reference: ModuleType, pairs: int) -> None:
    """Largest differences; HD95 apart where exactly 95 % are reached, up to rounding."""
    random = np.random.default_rng(0)
    worst, ties, done = np.zeros(3), 0, 0
    while done < pairs:
        shape = (
            (1, *random.integers(1, 30, 2)) if done % 3 == 0 else tuple(random.integers(2, 18, 3))
        )
        kind = int(random.integers(0, 3))
        truth, prediction = (random_mask(random, shape, kind) for _ in range(2))
        spacing = SPACINGS[random.integers(4)] if done % 2 else tuple(random.uniform(0.3, 5, 3))
        tolerance = float(random.choice([0.0, 1.0, 2.1, 3.3, random.uniform(0, 6)]))
        if not (truth.any() and prediction.any()):
            continue
        done += 1
        both = surfaces(truth, prediction, spacing)
        flat = (
            (truth[0], prediction[0], spacing[1:])
            if len(truth) == 1
            else (truth, prediction, spacing)
        )
        expected = by_reference(reference, *flat, tolerance)
        off = np.abs(np.subtract((nsd(both, tolerance), hd95(both), assd(both)), expected))
        tie = off[1] > 0 and any(
            np.abs(np.cumsum(side.areas) / side.areas.sum() - 0.95).min() < 1e-12
            for side in (both.truth, both.prediction)
        )
        ties += tie
        worst = np.maximum(worst, np.where([False, tie, False], 0, off))
    print(f"{pairs} pairs, largest difference of NSD, HD95 (mm), ASSD (mm): {worst}; ties: {ties}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--reference", type=Path, help="folder with the package surface_distance")
    parser.add_argument("--pairs", type=int, default=1000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=FutureWarning)
    print(
        f"table of areas, once per process: {cpu_seconds(lambda: areas((1.0, 1.0, 1.0)), 1):.3f} s"
    )
    reference = load(options.reference) if options.reference else None
    if reference:
        report_pairs(reference, options.pairs)
    report_organs(reference)
    report_far(reference)


if __name__ == "__main__":
    main()
