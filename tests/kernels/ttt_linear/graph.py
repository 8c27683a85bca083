"""Records mini-batches split over programs as a CUDA graph and replays it on other numbers.

    python -m tests.kernels.ttt_linear.graph

Prints, as JSON, whether they are split, and the largest difference between what the replay wrote
and what the operator gives for the same numbers when called, over the output and all gradients.
"""

import json

import torch

from segttt.kernels.ttt_linear.op import ttt_linear
from segttt.kernels.ttt_linear.triton_tune import plan
from tests.kernels.graphs import difference

TOKENS = 1024


def main() -> None:
    draw = lambda *shape: torch.randn(*shape, device="cuda")  # noqa: E731
    n, d = 2 * TOKENS + 100, 32
    q, k, v = (draw(1, 2, n, d) for _ in range(3))
    rates = torch.rand(1, 2, n, device="cuda") / d
    scale = 1 / torch.arange(1.0, TOKENS + 1, device="cuda")
    inner = (0.02 * draw(2, d, d), draw(2, d), draw(2, d), draw(2, d))
    given = [one.requires_grad_() for one in (q, k, v, rates, scale, *inner)]
    found = difference((ttt_linear, given, {"backwards": [False, True]}))
    print(json.dumps({"split": plan(q, TOKENS).split, "difference": found}))


if __name__ == "__main__":
    main()
