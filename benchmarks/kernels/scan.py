"""The selective scan: compiled loops or GPU kernels, plain PyTorch, token by token, mamba-ssm.

    python benchmarks/kernels/scan.py [--device cpu] [--repeats N] [--threads N]

mamba-ssm is there where it can be imported: its CUDA scan on a GPU, its reference in PyTorch on a
CPU. It gets its own layout, channels before tokens, without the cost of turning ours; as a backend
(train.scan=mamba) it has that cost, too.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache, partial
from importlib.util import find_spec
from types import ModuleType

import contest
import torch
from torch import Tensor

from segttt.kernels import backend
from segttt.kernels.selective_scan import reference
from segttt.kernels.selective_scan.op import selective_scan

LONG = 100_000  # tokens from which plain PyTorch takes minutes on a GPU


def inputs(b: int, g: int, n: int, d: int, like: Tensor, s: int = 16) -> list[Tensor]:
    """Arguments of `selective_scan`, with the decays that Mamba starts with."""
    draw = partial(contest.draw, like=like)
    rates = -torch.arange(1.0, s + 1, device=like.device).expand(g, d, s).contiguous()
    steps = (draw((b, g, n, d), scale=0.5).detach() - 4).requires_grad_()
    small = [draw((b, g, n, s)), draw((b, g, n, s)), draw((g, d)), draw((g, d), scale=0.1)]
    return [draw((b, g, n, d)), steps, rates.to(like.dtype).requires_grad_(), *small]


def on_cpu(like: Tensor) -> Iterator[contest.Contest]:
    shapes = {
        "CT bottleneck, 2x1x210x640": (2, 1, 210, 640),
        "CT stage 4, two orders, 2x2x840x640": (2, 2, 840, 640),
        "CT stage 3, 2x1x6720x512": (2, 1, 6720, 512),
    }
    for who, bar in (("segttt", "25"), (contest.PLAIN, "2.5")):
        yield from _against_simple(who, (1, 1, 4096, 128), bar, like)
    for task, shape in shapes.items():
        given = inputs(*shape, like)
        entries = {"segttt": (selective_scan, given), contest.PLAIN: (selective_scan, given)}
        yield from contest.passes(task, entries)


def _against_simple(
    who: str, shape: tuple[int, int, int, int], bar: str, like: Tensor
) -> Iterator[contest.Contest]:
    """Forward on the whole shape. Backward on an eighth of its tokens: mamba-ssm's reference fills
    a gradient of the whole sequence for each token, minutes at 4096."""
    b, g, n, d = shape
    for tokens, way in ((n, contest.forward), (n // 8, contest.both)):
        given = inputs(b, g, tokens, d, like)
        call = contest.plainly(selective_scan) if who == contest.PLAIN else selective_scan
        runs = {who: way(call, given)}
        if mamba := _mamba_reference():
            runs["mamba-ssm's reference"] = way(mamba, _own(_turned(given)))
        runs["token by token"] = way(reference.selective_scan, given)
        yield contest.Contest(f"{b}x{g}x{tokens}x{d}, {way.__name__}", runs, bar)
        bar = ""


def on_gpu(like: Tensor) -> Iterator[contest.Contest]:
    shapes = {
        "CT stage 3, 2x1x6720x512": ((2, 1, 6720, 512), ("0.9", "0.9")),
        "MR 2D stage 2, 30x1x6400x256": ((30, 1, 6400, 256), ("0.9", "0.9")),
        "CT stage 0, 2x1x1720320x64": ((2, 1, 1_720_320, 64), ("2, and ours 3.5 ms", "2")),
    }
    mamba = _mamba()
    for task, (shape, bars) in shapes.items():
        given = inputs(*shape, like)
        entries = {"segttt": (selective_scan, given)}
        if mamba:
            entries["mamba-ssm"] = (mamba, _own(_turned(given)))
        if shape[2] < LONG:
            entries[contest.PLAIN] = (selective_scan, given)
        yield from contest.passes(task, entries, bars)
    given = inputs(2, 2, 6720, 512, like)
    entries = {"segttt": (partial(selective_scan, backwards=[False, True]), given)}
    if mamba:
        twice = partial(_both_ways, mamba)
        entries["mamba-ssm twice, flips"] = (twice, _own(given))
        entries["mamba-ssm as backend"] = (_as_backend, given)
    yield from contest.passes("CT stage 3, both ways, 2x2x6720x512", entries, ("1.2", "1.2"))


def _mamba() -> Callable[..., Tensor] | None:
    """The CUDA scan of mamba-ssm, u, dt [b, d, n], A [d, s], B, C [b, s, n], D, bias [d]."""
    with suppress(ImportError):
        from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

        return _softplus(selective_scan_fn)
    return None


@cache
def _mamba_reference() -> Callable[..., Tensor] | None:
    """The same function in PyTorch, as mamba-ssm defines it; importing it wants its CUDA module."""
    found = find_spec("mamba_ssm")
    if found is None:
        return None
    package = ModuleType("mamba_ssm")  # the package itself imports language models
    package.__path__ = list(found.submodule_search_locations or ())
    sys.modules |= {"mamba_ssm": package, "selective_scan_cuda": ModuleType("selective_scan_cuda")}
    from mamba_ssm.ops.selective_scan_interface import selective_scan_ref

    return _softplus(selective_scan_ref)


def _softplus(scan: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda u, dt, A, B, C, D, bias: scan(
        u, dt, A, B, C, D, delta_bias=bias, delta_softplus=True
    )


def _own(given: list[Tensor]) -> list[Tensor]:
    """The same numbers, with gradients of their own."""
    return [x.detach().requires_grad_() for x in given]


def _turned(given: list[Tensor], scan: int = 0) -> list[Tensor]:
    """The arguments of one scan in the layout of mamba-ssm."""
    u, dt, A, B, C, D, bias = given
    turn = [x[:, scan].mT.contiguous() for x in (u, dt, B, C)]
    return [turn[0], turn[1], A[scan], turn[2], turn[3], D[scan], bias[scan]]


def _both_ways(mamba: Callable[..., Tensor], *given: Tensor) -> Tensor:
    one, other = _turned(list(given)), _turned(list(given), 1)
    other = [x.flip(-1) if x.dim() == 3 else x for x in other]
    return torch.stack([mamba(*one).mT, mamba(*other).flip(-1).mT], 1)


def _as_backend(*given: Tensor) -> Tensor:
    with backend.scanning("mamba"):
        return selective_scan(*given, backwards=[False, True])


def main() -> None:
    options = contest.arguments(__doc__)
    like = torch.empty(0, device=options.device)
    print(contest.HEAD, flush=True)
    for one in on_gpu(like) if options.device == "cuda" else on_cpu(like):
        contest.run(one, options.device, options.repeats)


if __name__ == "__main__":
    sys.exit(main())
