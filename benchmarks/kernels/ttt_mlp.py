"""TTT-MLP against the loop over mini-batches and our plain PyTorch.

python benchmarks/kernels/ttt_mlp.py [--device cpu] [--repeats N] [--threads N]
"""

import sys
from collections.abc import Iterator
from functools import partial

import contest
import eager
import torch
from torch import Tensor

from segttt.kernels import backend
from segttt.kernels.ttt_mlp.op import ttt_mlp


def inputs(b: int, h: int, n: int, d: int, t: int, like: Tensor) -> list[Tensor]:
    """Arguments of `ttt_mlp`, whose inner layer is 4 d wide; n tokens in mini-batches of t."""
    draw = partial(contest.draw, like=like)
    sequences = [draw((b, h, n, d)) for _ in range(3)]
    rates = [draw((b, h, n)).detach().sigmoid().div(d).requires_grad_()]
    positions = [(1 / torch.arange(1, t + 1, device=like.device)).to(like.dtype).requires_grad_()]
    first = [draw((h, d, 4 * d), scale=0.02), draw((h, 4 * d), scale=0.0)]
    second = [draw((h, 4 * d, d), scale=0.02), draw((h, d), scale=0.0)]
    return [*sequences, *rates, *positions, *first, *second, draw((h, d)), draw((h, d))]


def contests(like: Tensor) -> Iterator[contest.Contest]:
    shapes = {
        "laptop, 2x4x180x32": ((2, 4, 180, 32), ("", "")),
        "CT bottleneck, 2x16x210x20": ((2, 16, 210, 20), ("", "")),
        "CT stage 3, 2x8x6720x32": ((2, 8, 6720, 32), ("", "30")),
    }
    for task, (shape, bars) in shapes.items():
        given = inputs(*shape, 64, like)
        with torch.no_grad():
            torch.testing.assert_close(ttt_mlp(*given), eager.ttt_mlp(*given), rtol=0, atol=2e-2)
        entries: dict[str, contest.Entry] = {
            f"segttt, {backend.chosen(like, 'ttt_mlp')}": (ttt_mlp, given),
            "loop": (eager.ttt_mlp, given),
            contest.PLAIN: (ttt_mlp, given),
        }
        yield from contest.passes(f"{task}, t 64", entries, bars if like.is_cuda else ("", ""))


def main() -> None:
    options = contest.arguments(__doc__)
    like = torch.empty(0, device=options.device)
    print(contest.HEAD, flush=True)
    for one in contests(like):
        contest.run(one, options.device, options.repeats)


if __name__ == "__main__":
    sys.exit(main())
