"""Scoring thousands of cells: the sparse joint histogram against the challenge's full matrix.

    python benchmarks/metrics/instances.py [--cells 20 50 80] [--side 3000] [--script FILE]

Each side of the lattice of cells is one number of `--cells`. CPU seconds of the best of three runs;
the full matrix is measured once, without its removal of cells at the border. FILE is the
challenge's compute_cell_metric.py, which needs numba, pandas, tifffile and tqdm; without it, the
same in NumPy alone is measured. Needs about 2 GB for 6,400 cells.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from segttt.metrics.instances import score_instances


def lattice(side: int, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """A square picture with cells x cells discs, and the same ones moved and resized."""
    rng = np.random.default_rng(0)
    truth, prediction = np.zeros((2, side, side), np.int32)
    step = side // cells
    y, x = np.mgrid[:step, :step]
    for number in range(cells**2):
        corner = step * np.array(divmod(number, cells))
        centre, radius = rng.uniform(0.4, 0.6, 2) * step, rng.uniform(0.25, 0.4) * step
        place = (slice(corner[0], corner[0] + step), slice(corner[1], corner[1] + step))
        truth[place][np.hypot(y - centre[0], x - centre[1]) < radius] = number + 1
        centre, radius = centre + rng.normal(0, 0.08, 2) * step, radius * rng.uniform(0.8, 1.2)
        prediction[place][np.hypot(y - centre[0], x - centre[1]) < radius] = number + 1
    return truth, prediction


def full_matrix(truth: np.ndarray, prediction: np.ndarray) -> int:
    """Matched cells at IoU 0.5 by assignment over all pairs."""
    shape = truth.max() + 1, prediction.max() + 1
    pairs = truth.ravel().astype(np.int64) * shape[1] + prediction.ravel()
    overlap = np.bincount(pairs, minlength=shape[0] * shape[1]).reshape(shape)
    union = overlap.sum(1, keepdims=True) + overlap.sum(0, keepdims=True) - overlap
    iou = (overlap / np.maximum(union, 1))[1:, 1:]
    cost = -(iou >= 0.5).astype(float) - iou / (2 * min(iou.shape))
    return int((iou[linear_sum_assignment(cost)] >= 0.5).sum())


def of_script(path: Path) -> Callable[[np.ndarray, np.ndarray], int]:
    """Matched cells at IoU 0.5 by the functions of the challenge's script, compiled before."""
    functions: dict = {}
    exec(path.read_text().split("# def main():")[0], functions)

    def run(truth: np.ndarray, prediction: np.ndarray) -> int:
        return int(functions["eval_tp_fp_fn"](truth, prediction)[0])

    run(*lattice(40, 2))
    return run


def sparse(truth: np.ndarray, prediction: np.ndarray) -> int:
    """Matched cells at IoU 0.5 as segttt counts them."""
    return score_instances(truth, prediction)[0].tp


def seconds(
    run: Callable[[np.ndarray, np.ndarray], int], pair: tuple[np.ndarray, np.ndarray], times: int
) -> tuple[float, int]:
    """CPU seconds of the fastest run, and its result."""
    best, result = float("inf"), 0
    for _ in range(times):
        started = time.process_time()
        result = run(*pair)
        best = min(best, time.process_time() - started)
    return best, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, nargs="+", default=[20, 50, 80])
    parser.add_argument("--side", type=int, default=3000)
    parser.add_argument("--script", type=Path)
    arguments = parser.parse_args()
    reference = of_script(arguments.script) if arguments.script else full_matrix
    print("| cells | matched | full matrix s | sparse s | ratio |\n|" + " --- |" * 5)
    for cells in arguments.cells:
        pair = lattice(arguments.side, cells)
        ours, matched = seconds(sparse, pair, 3)
        theirs, expected = seconds(reference, pair, 1)
        if matched != expected:
            raise SystemExit(f"{matched} cells matched, but {expected} by the full matrix")
        print(f"| {cells**2} | {matched} | {theirs:.2f} | {ours:.3f} | {theirs / ours:.0f} |")


if __name__ == "__main__":
    main()
