"""Records each operator, forward and backward, as a CUDA graph and replays it on other numbers.

    python -m tests.kernels.graphs

Prints, as JSON, by operator the largest difference between what the replay wrote and what the
operator gives for the same numbers when called, over the output and all gradients. The same for the
graphs that `torch.compile` records, which come first: what operators keep is then made among them.
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


def compiled_difference(case: Case) -> float:
    """Where inductor records the graphs."""
    call, given, how = case
    compiled = torch.compile(lambda *x: call(*x, **how), fullgraph=True, mode="reduce-overhead")
    for _ in range(WARMING):
        torch.compiler.cudagraph_mark_step_begin()
        written = step((compiled, given, {}))
    return furthest(written, step(case))


def furthest(some: list[Tensor], others: list[Tensor]) -> float:
    pairs = zip(some, others, strict=True)
    return max((one - other).abs().max().item() for one, other in pairs)


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
    return furthest(written, step(case))


def main() -> None:
    found = {}
    for name, case in cases("cuda").items():
        found[f"{name}, compiled"] = compiled_difference(case)
        found[name] = difference(case)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
