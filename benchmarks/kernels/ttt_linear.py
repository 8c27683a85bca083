"""TTT-Linear against our plain PyTorch, the loop over mini-batches, and on a GPU fla if installed.

    python benchmarks/kernels/ttt_linear.py [--device cpu] [--repeats N] [--threads N]

fla's TTT-Linear is another function: its learning rates depend on the query, and it scales q. It is
here for its speed alone.
"""

import sys
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from unittest.mock import patch

import contest
import eager
import torch
from torch import Tensor

from segttt.kernels import backend
from segttt.kernels.ttt_linear.op import ttt_linear

FP32 = torch.float32


def inputs(b: int, h: int, n: int, d: int, t: int, like: Tensor) -> list[Tensor]:
    """Arguments of `ttt_linear`; n tokens in mini-batches of t."""
    draw = partial(contest.draw, like=like)
    sequences = [draw((b, h, n, d)) for _ in range(3)]
    rates = [draw((b, h, n)).detach().sigmoid().div(d).requires_grad_()]
    positions = [(1 / torch.arange(1, t + 1, device=like.device)).to(like.dtype).requires_grad_()]
    inner = [draw((h, d, d), scale=0.02), draw((h, d), scale=0.0), draw((h, d)), draw((h, d))]
    return [*sequences, *rates, *positions, *inner]


def rivals(given: list[Tensor]) -> dict[str, contest.Entry]:
    ours = f"segttt, {backend.chosen(given[0], 'ttt_linear')}"
    return {
        ours: (ttt_linear, given),
        "loop": (eager.ttt_linear, given),
        contest.PLAIN: (ttt_linear, given),
    }


def on_cpu(like: Tensor) -> Iterator[contest.Contest]:
    shapes = {
        "laptop, 2x4x180x32": (2, 4, 180, 32, 64),
        "CT bottleneck, 2x16x210x20": (2, 16, 210, 20, 64),
        "CT stage 3, 2x8x6720x32": (2, 8, 6720, 32, 64),
        "the same": (2, 8, 6720, 32, 16),
        "eight narrow heads, 2x8x6720x4": (2, 8, 6720, 4, 64),
        "1x8x4096x64": (1, 8, 4096, 64, 64),
    }
    for task, shape in shapes.items():
        given = inputs(*shape, like)
        check(given)
        yield from contest.passes(f"{task}, t {shape[4]}", rivals(given))


def on_gpu(like: Tensor) -> Iterator[contest.Contest]:
    for t in (16, 64):
        given = inputs(2, 8, 6720, 32, t, like)
        check(given)
        task = f"CT stage 3, 2x8x6720x32, t {t}"
        yield from contest.passes(task, rivals(given), ("60", "40"))
        steps = -(-6720 // t)
        forward, backward = {16: (1.0, 1.8), 64: (1.6, 2.6)}[t]
        total = forward + backward
        bars = (f"{steps * forward / 1e3:.2f} ms", f"{steps * total / 1e3:.2f} ms")
        alone = {"segttt": (ttt_linear, given)}
        yield from contest.passes(f"the same, {steps} steps", alone, bars)
    given = inputs(2, 16, 210, 20, 64, like)
    yield from contest.passes("CT bottleneck, 2x16x210x20, t 64", rivals(given), ("20", ""))
    graph = contest.replayed(contest.forward(ttt_linear, given))
    yield contest.Contest("the same as a CUDA graph, forward", {"segttt": graph}, "0.06 ms")
    given = inputs(2, 8, 16_384, 64, 64, like.bfloat16())
    together = {who: (partial(call, causal=False), x) for who, (call, x) in rivals(given).items()}
    yield from contest.passes("2x8x16384x64, t 64, bf16, not causal", together)
    given = inputs(2, 2, 1_720_320, 32, 64, like)
    alone = {"segttt": (partial(ttt_linear, backwards=[False, True]), given)}
    yield from contest.passes("CT stage 0, both ways, 2x2x1720320x32, t 64", alone, ("45 ms", ""))
    yield from split_over_programs(like, causal=False)
    yield from split_over_programs(like.bfloat16(), causal=True)
    if find_spec("fla"):
        yield from against_fla(like.bfloat16())


def split_over_programs(like: Tensor, causal: bool) -> Iterator[contest.Contest]:
    """Long mini-batches: launched from Python, as a CUDA graph, and not split."""
    from segttt.kernels.ttt_linear.triton_tune import Plan

    given = inputs(2, 2, 1_720_320, 32, 1024, like)
    call = partial(ttt_linear, causal=causal, backwards=[False, True])
    kind = "causal" if causal else "not causal"
    task = f"CT stage 0, both ways, 2x2x1720320x32, t 1024, {like.dtype}, {kind}"
    for name, way, bar in (("forward", contest.forward, "8 ms"), ("both", contest.both, "")):
        run = way(call, given)
        entries = {"segttt": run, "segttt, CUDA graph": contest.replayed(run)}
        entries["segttt, not split"] = patch.object(Plan, "split", False)(run)
        yield contest.Contest(f"{task}, {name}", entries, bar)


def against_fla(like: Tensor) -> Iterator[contest.Contest]:
    from fla.ops.ttt import fused_chunk_ttt_linear

    given = inputs(8, 16, 4096, 64, 16, like)
    q, k, v, lr = (contest.draw((8, 4096, 16, 64), like) for _ in range(4))
    theirs = [q, k, v, *given[-2:], lr[..., :1].detach().requires_grad_()]
    fla = partial(fused_chunk_ttt_linear, chunk_size=16)
    ways = {"forward": (contest.forward, "1.2"), "both": (contest.both, "3")}
    for name, (way, bar) in ways.items():
        pair = {"segttt": way(ttt_linear, given), "fla": way(lambda *x: fla(*x)[0], theirs)}
        yield contest.Contest(f"8x16x4096x64, t 16, bf16, {name}", pair, bar)


def check(given: list[Tensor]) -> None:
    """The loop computes what we do."""
    with torch.no_grad():
        torch.testing.assert_close(ttt_linear(*given), eager.ttt_linear(*given), rtol=0, atol=2e-2)


def main() -> None:
    options = contest.arguments(__doc__)
    like = torch.empty(0, device=options.device)
    print(contest.HEAD, flush=True)
    for one in on_gpu(like) if options.device == "cuda" else on_cpu(like):
        contest.run(one, options.device, options.repeats)


if __name__ == "__main__":
    sys.exit(main())
