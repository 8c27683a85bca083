"""What the machine offers."""

import platform
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Literal

import psutil
import torch

import segttt
from segttt.cluster.cores import usable_cores
from segttt.engine.compute import cpu_has_bf16
from segttt.kernels.backend import backend_info, has_mamba

ROOMY = 8 * 2**30  # memory below which a 3D training on the CPU will hardly fit
PLAIN = ("ttt_inputs", "cpu")
"""What has no faster backend than the reference."""
DEVICES = {"cpu": "CPU", "cuda": "GPU"}


@dataclass(frozen=True)
class Finding:
    """One fact and what it means."""

    subject: str
    state: Literal["ok", "note", "fault"]
    text: str


def examine() -> list[Finding]:
    """All findings, most fundamental first."""
    return [
        Finding("segttt", "ok", f"{segttt.__version__} on Python {platform.python_version()}"),
        _torch(),
        _gpu(),
        _cpu(),
        _memory(),
        _disk(),
        *_operators(),
        _mamba(),
    ]


def _torch() -> Finding:
    number = torch.__version__
    if number.startswith("2.9."):
        advice = f"{number} convolves 3D volumes several times slower; install 2.10 or newer"
        return Finding("torch", "fault", advice)
    return Finding("torch", "ok", number)


def _gpu() -> Finding:
    if not torch.cuda.is_available():
        return Finding(
            "GPU", "note", "none visible; everything runs on the CPU, preset laptop suits it"
        )
    about = torch.cuda.get_device_properties(0)
    return Finding("GPU", "ok", f"{about.name}, {about.total_memory / 2**30:.0f} GiB")


def _cpu() -> Finding:
    cores, all_cores = usable_cores(), psutil.cpu_count() or 1
    share = f"{cores} of {all_cores} cores usable" if cores < all_cores else f"{cores} cores"
    half = "bf16 natively" if cpu_has_bf16() else "no native bf16, training runs in fp32"
    return Finding("CPU", "ok", f"{share}, {half}")


def _memory() -> Finding:
    free = psutil.virtual_memory().available
    text = f"{free / 2**30:.1f} GiB free"
    return Finding("memory", "ok" if free >= ROOMY else "note", text)


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    return Finding(
        "disk here", "ok" if free > 10 * 2**30 else "note", f"{free / 2**30:.0f} GiB free"
    )


def _operators() -> list[Finding]:
    """Per operator, what would run it on each device here, and why."""
    findings = []
    for operator, rows in groupby(backend_info(), lambda row: row.operator):
        choices = list(rows)
        texts = [f"{DEVICES[row.device]}: {row.backend} ({row.why})" for row in choices]
        slow = [
            row
            for row in choices
            if row.backend == "reference" and (row.operator, row.device) != PLAIN
        ]
        state = "note" if slow else "ok"
        findings.append(Finding(operator, state, "; ".join(texts)))
    return findings


def _mamba() -> Finding:
    if find_spec("mamba_ssm") is None:
        return Finding("mamba-ssm", "note", "not installed; nothing here needs it")
    try:
        number = version("mamba-ssm")
    except PackageNotFoundError:
        number = f"importable by {sys.executable}, version unknown"
    if not has_mamba():
        return Finding("mamba-ssm", "note", f"{number}, without its CUDA scan; nothing needs it")
    chosen = "--set train.scan=mamba runs the scans of Mamba on a GPU by it"
    return Finding("mamba-ssm", "ok", f"{number}; {chosen}")
