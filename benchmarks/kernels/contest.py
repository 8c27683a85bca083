"""One task done by several functions that take turns: median time, memory, ratios."""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from segttt.kernels import backend

PLAIN = "plain PyTorch"
Entry = tuple[Callable[..., Tensor], Sequence[Tensor]]
HEAD = "| task | by | ms | MiB | times the first | bar |\n|---|---|---|---|---|---|"


@dataclass(frozen=True)
class Contest:
    """The first entry is ours; `bar` says what is asked of a ratio, or of the time itself."""

    task: str
    entries: dict[str, Callable[[], object]]
    bar: str = ""


def arguments(about: str) -> argparse.Namespace:
    """--device, --repeats and --threads, with the device that is there as default."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--repeats", type=int, default=0, help="0: 50 on a GPU, 5 on the CPU")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    options.repeats = options.repeats or (50 if options.device == "cuda" else 5)
    torch.set_num_threads(options.threads)
    return options


def draw(shape: Sequence[int], like: Tensor, scale: float = 1.0) -> Tensor:
    """Normal numbers that want a gradient, of the type and on the device of `like`."""
    return (scale * torch.randn(*shape, dtype=like.dtype, device=like.device)).requires_grad_()


def forward(call: Callable[..., Tensor], inputs: Sequence[Tensor]) -> Callable[[], object]:
    """The call without a gradient."""

    def run() -> None:
        with torch.no_grad():
            call(*inputs)

    return run


def both(call: Callable[..., Tensor], inputs: Sequence[Tensor]) -> Callable[[], object]:
    """The call, and the gradients of all its inputs."""

    def run() -> None:
        out = call(*inputs)
        torch.autograd.grad(out, inputs, out.detach())

    return run


def passes(
    task: str, entries: dict[str, Entry], bars: tuple[str, str] = ("", "")
) -> Iterator[Contest]:
    """Two contests, of the forward pass and of forward and backward. An entry is a call and its
    arguments; `PLAIN` is our plain PyTorch, whatever the operator would choose."""
    for name, way, bar in zip(("forward", "both"), (forward, both), bars, strict=True):
        runs = {who: way(call, given) for who, (call, given) in entries.items()}
        if PLAIN in runs:
            runs[PLAIN] = plainly(runs[PLAIN])
        yield Contest(f"{task}, {name}", runs, bar)


def plainly(call: Callable[..., Any]) -> Callable[..., Any]:
    """The call in our plain PyTorch, whatever the operator would choose."""

    def run(*given: object) -> Any:
        with backend.reference_only():
            return call(*given)

    return run


def run(contest: Contest, device: str, repeats: int) -> None:
    """Print one row per entry. Each is warmed up by two calls; a turn is one call of each."""
    times: dict[str, list[float]] = {name: [] for name in contest.entries}
    peaks = {name: _peak(call, device) for name, call in contest.entries.items()}
    for _ in range(repeats):
        for name, call in contest.entries.items():
            times[name].append(_seconds(call, device))
    middle = {name: statistics.median(values) for name, values in times.items()}
    first = next(iter(middle.values()))
    for index, (name, seconds) in enumerate(middle.items()):
        ratio = "" if index == 0 else f"{seconds / first:.2f}"
        bar = contest.bar if index == min(1, len(middle) - 1) else ""
        row = f"| {contest.task} | {name} | {seconds * 1e3:.3g} | {peaks[name]} | {ratio} | {bar} |"
        print(row, flush=True)


def _peak(call: Callable[[], object], device: str) -> str:
    """MiB that a call takes beyond what is there before it; two calls, which warm up."""
    call()
    if device != "cuda":
        call()
        return ""
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    call()
    torch.cuda.synchronize()
    return f"{(torch.cuda.max_memory_allocated() - before) / 2**20:.0f}"


def _seconds(call: Callable[[], object], device: str) -> float:
    if device != "cuda":
        started = time.perf_counter()
        call()
        return time.perf_counter() - started
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    call()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1e3


def replayed(call: Callable[[], object]) -> Callable[[], object]:
    """The call as a CUDA graph, which the GPU runs without waiting for Python."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay
