"""Evaluation of a thousand cases: memory, open files, workers, and going on after a kill.

    python -m benchmarks.metrics.many_cases [--cases 1000] [--labels 13]

Writes small label maps to a temporary folder and evaluates them in processes of their own: once
with one worker, once with two, and once killed half-way and started again. Prints memory and open
files per hundred cases, times, and whether the results are the same to the last byte.
"""

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import psutil
import SimpleITK as sitk

from benchmarks.metrics.organs import fill
from segttt.commands.evaluate import evaluate
from segttt.commands.scores.scoring import Request
from segttt.commands.watch import Silent

Item = TypeVar("Item")
EVERY = 100
SHAPE = (32, 96, 96)
VOXELS = (1.0, 1.0, 1.0)


class Meter(Silent):
    """Notes what the process holds after every hundred cases."""

    def __init__(self) -> None:
        self.process = psutil.Process()
        self.rows: list[tuple[int, float, int]] = []

    def track(self, items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
        self.note_memory(0)
        for number, item in enumerate(items, start=1):
            yield item
            if number % EVERY == 0:
                self.note_memory(number)

    def note_memory(self, cases: int) -> None:
        memory = self.process.memory_info().rss / 2**20
        self.rows.append((cases, round(memory, 1), self.process.num_fds()))


def write_cohort(folder: Path, cases: int, labels: int) -> None:
    """Ellipsoids of each label, and the same moved."""
    random = np.random.default_rng(0)
    for side in ("truth", "found"):
        (folder / side).mkdir(parents=True)
    for case in range(cases):
        pair = np.zeros((2, *SHAPE), np.uint8)
        for label in range(1, labels + 1):
            centre, radii = random.uniform(0.2, 0.8, 3) * SHAPE, random.uniform(2, 10, 3)
            for values, error in zip(pair, (0.0, 1.0), strict=True):
                fill(values, VOXELS, centre + error * random.normal(size=3), radii, label)
        for side, values in zip(("truth", "found"), pair, strict=True):
            image = sitk.GetImageFromArray(values)
            image.SetSpacing((0.8, 0.8, 2.5))
            sitk.WriteImage(image, str(folder / side / f"case_{case:04d}.nii.gz"))


def child(folder: Path, out: Path, workers: int, labels: int) -> None:
    """One evaluation; prints what it took."""
    meter, started = Meter(), time.perf_counter()
    names = {label: f"label {label}" for label in range(1, labels + 1)}
    request = Request(labels=names)
    evaluate(folder / "found", folder / "truth", out, meter, request=request, workers=workers)
    seconds = {"wall": time.perf_counter() - started, "cpu": time.process_time()}
    print(json.dumps({"rows": meter.rows, **seconds}))


def start(folder: Path, out: Path, workers: int, labels: int) -> subprocess.Popen[str]:
    module = ["-m", "benchmarks.metrics.many_cases", "--child", str(folder), str(out)]
    call = [sys.executable, *module, "--workers", str(workers), "--labels", str(labels)]
    return subprocess.Popen(call, stdout=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen[str]) -> dict:
    printed, _ = process.communicate()
    if process.returncode:
        raise SystemExit(process.returncode)
    return json.loads(printed)


def digest(out: Path) -> str:
    """Of all results of an evaluation."""
    content = hashlib.sha256()
    for path in sorted(out.iterdir()):
        content.update(path.name.encode() + path.read_bytes())
    return content.hexdigest()


def killed(folder: Path, out: Path, cases: int, labels: int) -> int:
    """Kill an evaluation half-way; returns the cases in its journal."""
    process, journal = start(folder, out, 1, labels), out / "journal.jsonl"

    def done() -> int:
        return journal.read_bytes().count(b"\n") - 1 if journal.exists() else 0

    while done() < cases // 2 and process.poll() is None:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return done()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--labels", type=int, default=13)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--child", type=Path, nargs=2, metavar=("FOLDER", "OUT"))
    options = parser.parse_args()
    if options.child:
        child(*options.child, options.workers, options.labels)
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_cohort(folder, options.cases, options.labels)
        report(folder, options.cases, options.labels)


def report(folder: Path, cases: int, labels: int) -> None:
    """Run and print everything."""
    runs = {n: finished(start(folder, folder / f"out{n}", n, labels)) for n in (1, 2)}
    done = killed(folder, folder / "out", cases, labels)
    resumed = finished(start(folder, folder / "out", 1, labels))
    print("| cases | MiB, 1 worker | files | MiB, 2 workers | files |\n|" + " --- |" * 5)
    for (number, *one), (_, *two) in zip(runs[1]["rows"], runs[2]["rows"], strict=True):
        print(f"| {number} | {one[0]} | {one[1]} | {two[0]} | {two[1]} |")
    for n, run in runs.items():
        print(f"{n} workers: {run['wall']:.1f} s, {run['cpu']:.1f} s of CPU")
    print(f"killed after {done} cases, the rest: {resumed['wall']:.1f} s")
    same = {digest(folder / name) for name in ("out1", "out2", "out")}
    print("results: the same bytes" if len(same) == 1 else "results differ")


if __name__ == "__main__":
    main()
