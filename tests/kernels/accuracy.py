"""Every operator on a device against its definition in float64, in every type of numbers.

    python -m tests.kernels.accuracy [--device cuda] [--long]

Prints, as JSON, what is wrong: errors beyond their limits, two runs that differ, reads beyond a
tensor's end. With --long also calls of more than 2^31 numbers, which take 100 GB of memory.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from segttt.kernels.backend import reference_only
from segttt.kernels.causal_conv.op import causal_conv
from segttt.kernels.selective_scan.op import selective_scan
from segttt.kernels.ttt_inputs.op import ttt_inputs
from segttt.kernels.ttt_linear.op import ttt_linear
from segttt.kernels.ttt_mlp.op import ttt_mlp

OUT, SEQUENCES, WEIGHTS = "out", "sequences", "weights"
LIMITS = {
    torch.float32: {OUT: 1e-5, SEQUENCES: 1e-4, WEIGHTS: 1e-4},
    torch.bfloat16: {OUT: 5e-3, SEQUENCES: 1e-2, WEIGHTS: 3e-2},
    torch.float16: {OUT: 2e-3, SEQUENCES: 5e-3, WEIGHTS: 1e-2},
}
"""Of the root mean square of the error over that of the truth. bfloat16 rounds a result by 0.2 %,
float16 by 0.03 %, and its products are in tf32; the gradients of weights and of learning rates are
sums over tokens that cancel."""

PAD = 64
"""Numbers on both sides of each argument, none of which may be read."""


@dataclass(frozen=True)
class Case:
    """A call of an operator; the first `sequences` arguments are tokens, the others weights."""

    name: str
    call: Callable[..., Tensor]
    given: list[Tensor]
    sequences: int

    def to(self, kind: torch.dtype) -> "Case":
        """With tokens of that type; weights and rates stay in float32, as in training."""
        tokens = [x.to(kind) for x in self.given[: self.sequences]]
        rest = [x.to(torch.float64) if kind == torch.float64 else x for x in self.given]
        return replace(self, given=tokens + rest[self.sequences :])


def cases(device: str) -> Iterator[Case]:
    """Heads of presets and beyond, mini-batches of 16, 32 and 64 tokens, remainders, both ways."""
    draw = _Draw(device)
    for d in (4, 8, 20, 32, 40, 64):
        for t in (16, 32, 64):
            for causal, turned in ((True, [False, True]), (False, [True, False])):
                how = {"causal": causal, "backwards": turned}
                label = f"n=150 d={d} t={t} causal={causal}"
                linear = [*draw.tokens(150, d, t), draw(2, d, d) * 0.3, *draw.rows(d, 3)]
                yield Case(f"ttt_linear {label}", partial(ttt_linear, **how), linear, 3)
                if d <= 40:
                    inner = [draw(2, d, 4 * d) / d**0.5, 0.4 * draw(2, 4 * d)]
                    inner += [draw(2, 4 * d, d) / (4 * d) ** 0.5, 0.4 * draw(2, d)]
                    mlp = [*draw.tokens(150, d, t), *inner, *draw.rows(d, 2)]
                    yield Case(f"ttt_mlp {label}", partial(ttt_mlp, **how), mlp, 3)
    for n, d, kinds in ((1, 5, 1), (150, 33, 2), (3000, 64, 1)):
        conv = partial(causal_conv, backwards=[False, True], activation="silu")
        given = [draw(2, kinds, n, d), 0.5 * draw(2, d, 4), 0.5 * draw(2, d)]
        yield Case(f"causal_conv n={n} d={d} of {kinds}", conv, given, 1)
    long = [*draw.tokens(2100, 32, 1024), draw(2, 32, 32) * 0.3, *draw.rows(32, 3)]
    for causal in (True, False):  # mini-batches that a GPU splits over programs
        how = {"causal": causal, "backwards": [False, True]}
        label = f"n=2100 d=32 t=1024 causal={causal}"
        yield Case(f"ttt_linear {label}", partial(ttt_linear, **how), long, 3)
    for d in (4, 20, 32):
        given = [*(draw(1, 2, 150, 2 * d) for _ in range(3)), draw(1, 2, 150, 2)]
        given += [draw(2, 2), 0.1 * draw(16)]
        yield Case(f"ttt_inputs n=150 d={d} t=16", _joined_inputs, given, 4)
    for n, d, s in ((1, 5, 4), (150, 33, 16), (3000, 64, 16)):
        scan = partial(selective_scan, backwards=[False, True])
        yield Case(f"selective_scan n={n} d={d} s={s}", scan, draw.scan(n, d, s), 2)
    fast = draw.scan(70, 32, 16)
    fast[1] += 20  # steps at which exp(-16 * 20) is 0
    yield Case("selective_scan of large steps", selective_scan, fast, 2)


def _joined_inputs(*given: Tensor) -> Tensor:
    return torch.cat([x.flatten() for x in ttt_inputs(*given, 0.5, [False, True])])


class _Draw:
    """Numbers of the size that networks have, between numbers that nothing may read."""

    def __init__(self, device: str):
        self.device = device
        self.random = torch.Generator().manual_seed(0)

    def __call__(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.random)

    def tokens(self, n: int, d: int, t: int) -> list[Tensor]:
        rates = torch.rand(1, 2, n, generator=self.random) / d
        return [*(self(1, 2, n, d) for _ in range(3)), rates, 1 / torch.arange(1.0, t + 1)]

    def rows(self, d: int, count: int) -> list[Tensor]:
        """The last two are gamma and beta."""
        first = [0.3 * self(2, d) for _ in range(count - 2)]
        return [*first, 1 + 0.3 * self(2, d), 0.3 * self(2, d)]

    def scan(self, n: int, d: int, s: int) -> list[Tensor]:
        rates = -torch.arange(1.0, s + 1).expand(2, d, s).clone()
        tokens = [self(1, 2, n, d), 0.5 * self(1, 2, n, d) - 2]
        return [*tokens, rates, self(1, 2, n, s), self(1, 2, n, s), self(2, d), 0.1 * self(2, d)]


def guarded(x: Tensor, device: str) -> Tensor:
    """The same numbers on the device, between others that are none."""
    room = torch.full((x.numel() + 2 * PAD,), torch.nan, dtype=x.dtype, device=device)
    inside = room[PAD:-PAD]
    inside.copy_(x.flatten())
    return inside.view(x.shape).requires_grad_()


def run(case: Case, kind: torch.dtype, device: str) -> list[Tensor]:
    """The output and all gradients, from a gradient of the output that is rounded to that type."""
    given = [guarded(x, device) for x in case.given]
    out = case.call(*given)
    d_out = torch.linspace(-2, 2, out.numel()).cos().to(kind).to(out.dtype).to(device).view_as(out)
    return [out.detach(), *torch.autograd.grad(out, given, d_out)]


def faults(case: Case, kind: torch.dtype, device: str) -> list[str]:
    """What is wrong with a case whose tokens are of that type, one sentence each."""
    narrow = case.to(kind)
    found, again = run(narrow, kind, device), run(narrow, kind, device)
    with reference_only():
        truth = run(narrow.to(torch.float64), kind, "cpu")
    wrong = []
    for place, (one, twin, true) in enumerate(zip(found, again, truth, strict=True)):
        which = OUT if not place else SEQUENCES if place <= case.sequences else WEIGHTS
        label = f"{case.name} {kind}: " + (f"gradient {place - 1}" if place else "output")
        if not torch.equal(one, twin):
            wrong.append(f"{label} differs from run to run")
        error = one.double().cpu() - true
        size = (error.square().mean() / true.square().mean().clamp_min(1e-30)).sqrt().item()
        if not size <= LIMITS[kind][which]:
            wrong.append(f"{label} is off by {size:.1e}, allowed {LIMITS[kind][which]:.0e}")
    return wrong


def long_faults(device: str, numbers: int = 2**31, n: int = 4096) -> list[str]:
    """A call of more than so many numbers gives its last sample what that gets alone.

    But for the last bits of bfloat16: how a scan is cut into segments depends on the samples.
    """
    draw, wrong = _Draw(device), []
    tokens = draw.tokens(n, 32, 64)
    linear = [*tokens, 0.3 * draw(2, 32, 32), *draw.rows(32, 3)]
    for case in (
        Case("ttt_linear", ttt_linear, linear, 3),
        Case("selective_scan", selective_scan, draw.scan(n, 64, 16), 2),
        Case("causal_conv", causal_conv, [draw(1, 2, n, 64), draw(2, 64, 4), draw(2, 64)], 1),
    ):
        few = case.to(torch.bfloat16).given
        few = [x.to(device) for x in few]
        samples = numbers // few[0].numel() + 2
        many = [x.expand(samples, *x.shape[1:]) if x.ndim > 2 and len(x) == 1 else x for x in few]
        with torch.no_grad():
            alone, together = case.call(*few), case.call(*(x.contiguous() for x in many))
        if not torch.allclose(alone[0], together[-1], rtol=2**-6, atol=2**-6):
            wrong.append(f"{case.name} of {together.numel()} numbers differs in its last sample")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--long", action="store_true")
    options = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = False
    wrong = [
        fault for case in cases(options.device) for kind in LIMITS
        for fault in faults(case, kind, options.device)
    ]  # fmt: skip
    if options.long:
        wrong += long_faults(options.device)
    print(json.dumps(wrong))


if __name__ == "__main__":
    main()
