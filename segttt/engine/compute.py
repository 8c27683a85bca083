"""Where and how precisely the networks run: device, autocast and memory layout."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segttt.cluster.cores import usable_cores
from segttt.config.plan import Plan
from segttt.errors import UsageError
from segttt.kernels import backend
from segttt.networks.precision import thin_maps

Precision = Literal["auto", "fp32", "bf16", "fp16"]
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of malloc.h


@dataclass(frozen=True)
class Compute:
    """A device and the type that convolutions and products run in."""

    device: torch.device
    dtype: torch.dtype
    scan: backend.Scan = "auto"
    """What runs the scans of Mamba on a GPU."""

    @contextmanager
    def forward(self) -> Iterator[None]:
        """Context of a forward pass; mixers step in fp32 inside it by themselves."""
        reduced = self.dtype != torch.float32
        cast = torch.autocast(self.device.type, dtype=self.dtype) if reduced else nullcontext()
        with cast, backend.scanning(self.scan):
            yield

    def place(self, network: nn.Module) -> nn.Module:
        """The network on the device, its convolutions channels-last on a CPU."""
        network = network.to(self.device)
        for module in network.modules():
            weight = getattr(module, "weight", None)
            if isinstance(weight, nn.Parameter) and self.device.type == "cpu":
                weight.data = self.arrange(weight.data)
        return network

    def arrange(self, tensor: Float[Tensor, "b c *grid"] | Tensor) -> Tensor:
        """The layout that convolutions are fastest in."""
        if self.device.type == "cpu" and tensor.ndim == 5:
            return tensor.contiguous(memory_format=torch.channels_last_3d)
        if self.device.type == "cpu" and tensor.ndim == 4:
            return tensor.contiguous(memory_format=torch.channels_last)
        return tensor


def choose(
    device: str = "auto", precision: Precision = "auto", scan: backend.Scan = "auto"
) -> Compute:
    """The device by name (auto: CUDA where there is one) and its arithmetic.

    auto precision: fp16 on a GPU, bf16 where the CPU computes it natively, else fp32. A learner
    may still turn bf16 into fp32, see `right_on_this_device`. Raises MissingDependencyError where a
    GPU is to scan by mamba-ssm and cannot.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise UsageError(f"--device {device}: use cpu, cuda, cuda:0 or auto.") from error
    if place.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"--device {device}: no CUDA device is visible. Use --device cpu.")
    if place.type == "cuda" and scan == "mamba":
        backend.require_mamba()
    if precision == "auto":
        native = cpu_has_bf16()
        precision = "fp16" if place.type == "cuda" else "bf16" if native else "fp32"
    if precision == "fp16" and place.type == "cpu":
        raise UsageError("train.precision fp16 needs a GPU. Use bf16 or fp32 on a CPU.")
    dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    return Compute(place, dtypes[precision], scan)


def right_on_this_device(compute: Compute, network: nn.Module, plan: Plan) -> Compute:
    """What was chosen, in fp32 where `auto` chose bf16 and its gradients would be wrong."""
    wrong = compute.device.type == "cpu" and thin_maps(network, plan.topology.patch)
    if plan.train.precision == "auto" and compute.dtype == torch.bfloat16 and wrong:
        return replace(compute, dtype=torch.float32)
    return compute


def require_compiler(device: torch.device) -> None:
    """A `UsageError` where `torch.compile` lacks a compiler for this device."""
    try:
        torch.compile(lambda x: x + 1, options={"fx_graph_cache": False})(torch.ones(2).to(device))
    except (RuntimeError, ImportError, OSError) as error:
        needed = "a C++ compiler" if device.type == "cpu" else "Triton and a C compiler"
        reason = str(error).partition("\n")[0]
        raise UsageError(
            f"train.compile: torch.compile does not work on {device} here ({reason}). Install "
            f"{needed}, or train without it by --set train.compile=false."
        ) from error


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bf16 natively (AVX-512 BF16, AMX or Arm BF16)."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return False
    return bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})


def keep_freed_memory() -> bool:
    """Let glibc keep freed blocks, so that a training step does not fault its pages in again.

    A third of a CPU step goes into page faults otherwise; no result changes. False where the C
    library has no such setting.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
        return bool(libc.mallopt(M_MMAP_MAX, 0) and libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
    except (OSError, AttributeError):
        return False


def use_threads(count: int | None = None) -> None:
    """Compute with so many threads; None: no more than the cores that are allotted.

    PyTorch takes a thread for each core of the machine, also where a container or a scheduler
    allots fewer, and is then several times slower than with the right number.
    """
    torch.set_num_threads(count or min(torch.get_num_threads(), usable_cores()))


def seed_everything(seed: int, *, deterministic: bool) -> None:
    """Seed the weights' initialisation; deterministic refuses operators that are not."""
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = not deterministic


@contextmanager
def refused_operators() -> Iterator[None]:
    """Inside, an operator that PyTorch refuses as not reproducible is a `UsageError`."""
    try:
        yield
    except RuntimeError as error:
        if not torch.are_deterministic_algorithms_enabled() or "determinis" not in str(error):
            raise
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(
            f"--deterministic: {reason} Train without it, with another network, or on a CPU."
        ) from error
