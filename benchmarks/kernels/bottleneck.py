"""The whole TTT layer at the bottleneck of preset flare22 against the same layer written out.

    python benchmarks/kernels/bottleneck.py [--device cpu] [--repeats N] [--threads N]

The other layer is in `eager.py`: a projection each for q, k, v and the rates, rotary positions,
autograd through a loop over mini-batches, norm and output projection, with the same weights.
"""

import sys
from collections.abc import Iterator
from math import prod

import contest
import eager
import torch
from torch import Tensor

from segttt.config.preset import load
from segttt.networks.build import spec
from segttt.networks.layout import mixer_sites
from segttt.networks.ttt import TTT

BATCH = 2


def layer_of_preset(device: str) -> TTT:
    """With weights off their start, where some are zero and some are one."""
    network = spec("ttt-unet-bot")
    (site,) = mixer_sites(network, load("flare22").topology).values()
    layer = TTT(site, network).to(device)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return layer


def contests(device: str) -> Iterator[contest.Contest]:
    layer = layer_of_preset(device)
    grid = layer.sequences.grid
    tokens, width = prod(grid), layer.q.in_features
    x = torch.randn(BATCH, tokens, width, device=device, requires_grad=True)
    given = [x, *layer.parameters()]

    def ours(x: Tensor, *_: Tensor) -> Tensor:
        return layer(x, grid)

    def loop(x: Tensor, *_: Tensor) -> Tensor:
        return eager.ttt_layer(x, layer)

    check(ours(*given), loop(*given), given)
    task = f"TTT layer, {BATCH}x{tokens}x{width}, {layer.heads} heads"
    entries = {"segttt": (ours, given), "loop": (loop, given), contest.PLAIN: (ours, given)}
    yield from contest.passes(task, entries, ("20" if device == "cuda" else "", ""))
    if device == "cuda":
        graph = contest.replayed(contest.forward(ours, given))
        yield contest.Contest("the same as a CUDA graph, forward", {"segttt": graph}, "0.06 ms")


def check(out: Tensor, other: Tensor, given: list[Tensor]) -> None:
    """Both layers give the same numbers and the same gradients, to 1 part in 1000 of their size."""
    asked = torch.randn_like(out)
    ours, truths = (torch.autograd.grad(one, given, asked) for one in (out, other))
    for one, truth in zip((out, *ours), (other, *truths), strict=True):
        torch.testing.assert_close(one, truth, rtol=0, atol=1e-3 * truth.abs().max().item())


def main() -> None:
    options = contest.arguments(__doc__)
    torch.manual_seed(0)
    print(contest.HEAD, flush=True)
    for one in contests(options.device):
        contest.run(one, options.device, options.repeats)


if __name__ == "__main__":
    sys.exit(main())
