"""Which implementation of an operator runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Literal, get_args

import torch
from torch import Tensor

from segttt.errors import MissingDependencyError, UsageError
from segttt.kernels.ttt_mlp import choice

Name = Literal["reference", "numba", "triton"]
"""Plain PyTorch; compiled loops on the CPU; GPU kernels."""

Scan = Literal["auto", "mamba"]
"""What runs selective scans on a GPU: what runs the other operators, or the CUDA kernels of the
package mamba-ssm."""

Operator = Literal["ttt_inputs", "ttt_linear", "ttt_mlp", "causal_conv", "selective_scan"]

OLDEST = (8, 0)
"""Compute capability that the GPU kernels are compiled and sized for, or newer."""

_forced: list[Name] = []
"""What `forced` asks for, innermost last. It belongs to the process, not to a context, as autograd
goes back through what ran on a GPU in threads of its own, which no context variable reaches."""

_scans: list[Scan] = []
"""What `scanning` asks for, innermost last."""


@dataclass(frozen=True)
class Backend:
    """What runs an operator on a device here, and why, in words."""

    operator: Operator
    device: Literal["cpu", "cuda"]
    backend: Name | Literal["mamba"]
    why: str


def chosen(x: Tensor, op: Operator) -> Name:
    """What runs `op` on tensors like `x`, its first argument.

    Called inside of operators, where the tensors are real; callers of an operator never ask.
    Raises UsageError where `forced` asks for what cannot run.
    """
    if not _forced:
        return _choice(op, x.device, x.dtype)[0]
    if _forced[-1] == "numba" and x.dtype == torch.float64:
        raise UsageError("numba backends compute in float32; give float64 to the reference")
    return _forced[-1]


@contextmanager
def forced(name: Name) -> Iterator[None]:
    """Run every operator by this backend. For tests and benchmarks, which compare them.

    Raises UsageError where the package that the backend is named after is not installed.
    """
    if name != "reference" and not _installed(name):
        raise UsageError(f"the backend {name} needs the package {name}, which is not installed")
    _forced.append(name)
    try:
        yield
    finally:
        _forced.pop()


@contextmanager
def reference_only() -> Iterator[None]:
    """Run every operator as plain PyTorch. For debugging, and for tests that compare."""
    with forced("reference"):
        yield


@contextmanager
def scanning(by: Scan) -> Iterator[None]:
    """Run selective scans on a GPU by mamba-ssm, or as ever. Elsewhere it changes nothing.

    What was scanned inside goes back by the same, inside or not.
    """
    _scans.append(by)
    try:
        yield
    finally:
        _scans.pop()


def scans_by_mamba(u: Tensor) -> bool:
    """Whether mamba-ssm was chosen to scan tensors like `u`, and is able to."""
    chosen_so = _scans[-1:] == ["mamba"] and not _forced
    return chosen_so and u.device.type == "cuda" and u.dtype != torch.float64


def has_mamba() -> bool:
    """Whether mamba-ssm is installed, and its CUDA scan with it."""
    return _installed("mamba_ssm") and _installed("selective_scan_cuda")


def require_mamba() -> None:
    """Raise MissingDependencyError where mamba-ssm or its CUDA scan is not installed."""
    if not has_mamba():
        raise MissingDependencyError(
            "train.scan=mamba needs mamba-ssm with its CUDA scan: pip install 'segttt[mamba]', or "
            "leave scans to segttt with --set train.scan=auto."
        )


def backend_info() -> list[Backend]:
    """What would run each operator in float32, on the CPU and on a GPU where there is one."""
    kinds: list[Literal["cpu", "cuda"]] = ["cpu"]
    if torch.cuda.is_available():
        kinds.append("cuda")
    rows = []
    for operator in get_args(Operator):
        for kind in kinds:
            name, why = _choice(operator, torch.device(kind), torch.float32)
            row = Backend(operator, kind, name, why)
            on_gpu = operator == "selective_scan" and kind == "cuda"
            rows.append(_or_mamba(row) if on_gpu else row)
    return rows


def _or_mamba(row: Backend) -> Backend:
    if _scans[-1:] == ["mamba"] and not _forced:
        return replace(row, backend="mamba", why="chosen by train.scan=mamba")
    if has_mamba():
        why = f"{row.why}; mamba-ssm is installed, train.scan=mamba chooses it"
        return replace(row, why=why)
    return row


def _choice(op: Operator, device: torch.device, dtype: torch.dtype) -> tuple[Name, str]:
    if dtype == torch.float64:
        return "reference", "float64 is for checking"
    if device.type == "cuda":
        name, why = _on_gpu(device)
        limited = op == "ttt_mlp" and name == "triton"
        return name, f"{why}; {choice.LIMITS}, else plain PyTorch" if limited else why
    if device.type != "cpu":
        return "reference", f"no kernels for {device.type}"
    if op == "ttt_inputs":
        return "reference", "a pass over memory, which needs no compiled loops"
    if not _installed("numba"):
        return "reference", "numba is not installed; pip install 'segttt[cpu]' makes it faster"
    if reason := _fault("numba"):
        return "reference", f"numba is installed, but cannot be imported: {reason}"
    return "numba", "loops compiled for this processor"


@cache
def _on_gpu(device: torch.device) -> tuple[Name, str]:
    if not _installed("triton"):
        return "reference", "triton is not installed; with it, GPU kernels run"
    if torch.version.cuda is None:
        return "reference", "the kernels are for NVIDIA's GPUs"
    capability = torch.cuda.get_device_capability(device)
    number = ".".join(map(str, capability))
    if capability < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        return "reference", f"compute capability {number}, kernels need {oldest}"
    return "triton", f"compute capability {number}"


@cache
def _installed(package: str) -> bool:
    return find_spec(package) is not None


@cache
def _fault(package: str) -> str:
    """Why an installed package cannot be imported, such as one that is too old; else nothing."""
    try:
        import_module(package)
    except (ImportError, AttributeError, OSError, SystemError) as error:
        return (str(error).strip() or type(error).__name__).splitlines()[0]
    return ""
