"""Records each operator, forward and backward, as a CUDA graph and replays it on other numbers.

    python -m tests.kernels.graphs

Prints, as JSON, by operator the largest difference between what the replay wrote and what the
operator gives for the same numbers when called, over the output and all gradients.
"""

import json

import torch
from torch import Tensor

from tests.kernels.launches import Case, cases

WARMING = 3
"""Calls before the recording, which compile kernels and allocate what is kept."""


def step(case: Case) -> list[Tensor]:
    """The output and every gradient."""
    call, given, how = case
    out = call(*given, **how)
    return [out, *torch.autograd.grad(out, given, torch.ones_like(out))]


def difference(case: Case) -> float:
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARMING):
            step(case)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        written = step(case)
    with torch.no_grad():
        for one in case[1]:
            one.mul_(0.75)  # A and the rates keep their sign
    graph.replay()
    pairs = zip(written, step(case), strict=True)
    return max((one - other).abs().max().item() for one, other in pairs)


def main() -> None:
    print(json.dumps({name: difference(case) for name, case in cases("cuda").items()}))


if __name__ == "__main__":
    main()
