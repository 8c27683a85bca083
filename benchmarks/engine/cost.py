"""What a command costs: wall seconds, CPU seconds and peak memory, its children included."""

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Cost:
    """Of one command."""

    wall: float
    cpu: float
    """User and system seconds of the process and of the children that it waited for."""
    peak_mib: float
    """Resident, of the largest single process; of `run_watched` of all together."""


def run(
    command: Sequence[str | Path], environment: Mapping[str, str] | None = None
) -> tuple[Cost, str]:
    """Run to the end and measure; its standard output comes with the cost."""
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as errors, subprocess.Popen(
        [str(part) for part in command],
        env=None if environment is None else dict(environment),
        stdout=subprocess.PIPE, stderr=errors, text=True,
    ) as process:  # fmt: skip
        text = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - started
        if process.returncode:
            errors.seek(0)
            raise RuntimeError(f"{' '.join(map(str, command))} failed:\n{errors.read()[-2000:]}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024), text


def run_watched(
    command: Sequence[str | Path], environment: Mapping[str, str] | None = None
) -> Cost:
    """As `run`; the memory is that of all processes together, looked at ten times a second."""
    started, peak, used = time.perf_counter(), 0, 0.0
    with tempfile.TemporaryFile("w+") as errors, subprocess.Popen(
        [str(part) for part in command],
        env=None if environment is None else dict(environment),
        stdout=subprocess.DEVNULL, stderr=errors, text=True,
    ) as process:  # fmt: skip
        root = psutil.Process(process.pid)
        while process.poll() is None:
            with suppress(psutil.Error):
                family = [root, *root.children(recursive=True)]
                peak = max(peak, sum(one.memory_full_info().pss for one in family))
                used = sum(sum(one.cpu_times()[:2]) for one in family)
            time.sleep(0.1)
        if process.returncode:
            errors.seek(0)
            raise RuntimeError(f"{' '.join(map(str, command))} failed:\n{errors.read()[-2000:]}")
    return Cost(time.perf_counter() - started, used, peak / 2**20)


def in_turns(jobs: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, float]:
    """Medians of figures whose measurements take turns, so that a busy moment hits all alike."""
    found: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(repeats):
        for name, job in jobs.items():
            found[name].append(job())
    return {name: statistics.median(values) for name, values in found.items()}


@dataclass(frozen=True)
class Line:
    """One figure of both programs; smaller is better."""

    work: str
    unit: str
    theirs: float
    ours: float
    bar: float
    """How many times cheaper ours has to be."""

    @property
    def ratio(self) -> float:
        """How many times cheaper ours is."""
        return self.theirs / self.ours


def table(lines: Sequence[Line]) -> str:
    """As Markdown."""
    head = (
        "| work | nnU-Net | segttt | ratio | bar | met |\n| --- | ---: | ---: | ---: | ---: | --- |"
    )
    rows = [
        f"| {one.work} | {one.theirs:.4g} {one.unit} | {one.ours:.4g} {one.unit} "
        f"| {one.ratio:.2f} | {one.bar:g} | {'yes' if one.ratio >= one.bar else 'NO'} |"
        for one in lines
    ]
    return "\n".join([head, *rows])
