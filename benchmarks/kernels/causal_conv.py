"""The causal convolution with SiLU beside PyTorch's operations, our plain PyTorch, causal_conv1d.

    python benchmarks/kernels/causal_conv.py [--device cpu] [--repeats N] [--threads N]

Tokens are as a layer has them: channels side by side, half of a projection, the same for all scans.
PyTorch's convolution turns them, and back. The package causal_conv1d takes part on a GPU where it
is installed; it reads forwards only.
"""

import sys
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec

import contest
import torch
import torch.nn.functional as F
from torch import Tensor

from segttt.kernels import backend
from segttt.kernels.causal_conv.op import causal_conv

REACH = 4


def inputs(b: int, scans: int, n: int, d: int, like: Tensor) -> list[Tensor]:
    """The first half of a projection [b, n, 2 d], weight and bias."""
    draw = partial(contest.draw, like=like)
    x = draw((b, n, 2 * d)).detach()[..., :d].requires_grad_()
    return [x, draw((scans, d, REACH)), draw((scans, d))]


def ours(x: Tensor, weight: Tensor, bias: Tensor, backwards: list[bool]) -> Tensor:
    return causal_conv(x[:, None], weight, bias, backwards=backwards, activation="silu")


def eager(x: Tensor, weight: Tensor, bias: Tensor, backwards: list[bool]) -> Tensor:
    """One convolution for each scan over channels by tokens, the results turned and copied."""
    outs = []
    for scan, back in enumerate(backwards):
        padded = F.pad(x.mT, (0, REACH - 1) if back else (REACH - 1, 0))
        taps = weight[scan].flip(1) if back else weight[scan]
        outs.append(F.conv1d(padded, taps[:, None], bias[scan], groups=len(taps)).mT)
    return F.silu(torch.stack(outs, 1)).contiguous()


def contests(like: Tensor) -> Iterator[contest.Contest]:
    shapes = {
        "CT bottleneck, 2x210x640": (2, 210, 640, [False]),
        "CT stage 3, 2x6720x512": (2, 6720, 512, [False]),
        "CT stage 2, both ways, 1x53760x256": (1, 53760, 256, [False, True]),
    }
    if like.is_cuda:
        shapes["CT stage 0, 2x1720320x64"] = (2, 1_720_320, 64, [False])
        shapes["CT stage 0, both ways, 2x1720320x64"] = (2, 1_720_320, 64, [False, True])
    for task, (b, n, d, backwards) in shapes.items():
        given = inputs(b, len(backwards), n, d, like)
        check(given, backwards)
        call = partial(ours, backwards=backwards)
        entries: dict[str, contest.Entry] = {
            f"segttt, {backend.chosen(like, 'causal_conv')}": (call, given),
            "PyTorch's conv1d": (partial(eager, backwards=backwards), given),
            contest.PLAIN: (call, given),
        }
        if like.is_cuda and find_spec("causal_conv1d") and not any(backwards):
            entries["causal_conv1d"] = (theirs, given)
        yield from contest.passes(task, entries)


def theirs(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """It takes channels that lie side by side, too."""
    from causal_conv1d import causal_conv1d_fn

    return causal_conv1d_fn(x.mT, weight[0], bias[0], activation="silu").mT


def check(given: list[Tensor], backwards: list[bool]) -> None:
    """Both compute the same."""
    with torch.no_grad():
        one, other = (call(*given, backwards) for call in (ours, eager))
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def main() -> None:
    options = contest.arguments(__doc__)
    like = torch.empty(0, device=options.device)
    print(contest.HEAD, flush=True)
    for one in contests(like):
        contest.run(one, options.device, options.repeats)


if __name__ == "__main__":
    sys.exit(main())
