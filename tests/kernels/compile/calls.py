"""Calls of the operators, forward and backward, on tensors without data.

The first of each operator stands for it; together they have the sizes of the presets and all that
the operators can do. Each has two heads or scans, the second of which goes backwards, in two
mini-batches and the beginning of a third.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal
from unittest.mock import patch

import torch
from torch import Tensor

from segttt.kernels.causal_conv.op import causal_conv
from segttt.kernels.selective_scan.op import selective_scan
from segttt.kernels.ttt_linear.op import ttt_linear, ttt_linear_losses
from segttt.kernels.ttt_linear.triton_tune import SHAPES as LINEAR_SHAPES
from segttt.kernels.ttt_mlp import triton_tune
from segttt.kernels.ttt_mlp.op import ttt_mlp, ttt_mlp_losses
from segttt.kernels.ttt_mlp.triton_tune import SHAPES as MLP_SHAPES
from tests.kernels.launches import Launching, cases

TURNED = [False, True]
Kind = Literal["bf16", "fp32"]
KINDS: dict[Kind, torch.dtype] = {"bf16": torch.bfloat16, "fp32": torch.float32}


def calls() -> dict[str, Callable[[], None]]:
    """By name, which begins with that of the operator."""
    found = {"ttt_inputs": partial(small, "ttt_inputs")}
    for d, t in LINEAR_SHAPES:
        for kind in KINDS:
            found[f"ttt_linear d={d} t={t} {kind}"] = partial(linear, d, t, kind)
    for d in (32, 64):
        found[f"ttt_linear d={d} t=1024"] = partial(linear, d, 1024, "bf16")
    found["ttt_linear not causal"] = partial(linear, 20, 100, "bf16", causal=False)
    for d, t in MLP_SHAPES:
        for kind in KINDS:
            found[f"ttt_mlp d={d} t={t} {kind}"] = partial(mlp, d, t, kind)
    found["ttt_mlp not causal"] = partial(mlp, 20, 100, "bf16", causal=False)
    found["causal_conv"] = partial(small, "causal_conv")
    for kind in KINDS:
        found[f"causal_conv shared {kind}"] = partial(conv, 1, 330, 64, kind)
        found[f"causal_conv apart {kind}"] = partial(conv, 2, 330, 200, kind, reach=8)
    for kind in KINDS:
        found[f"selective_scan gated {kind}"] = partial(scan, 16, 100, 330, kind, gate=True)
        found[f"selective_scan mean {kind}"] = partial(scan, 16, 64, 330, kind, merge="mean")
        found[f"selective_scan apart {kind}"] = partial(scan, 16, 64, 330, kind, merge="none")
        found[f"selective_scan short {kind}"] = partial(scan, 16, 64, 50, kind)
        found[f"selective_scan wide {kind}"] = partial(scan, 16, 10_240, 200, kind, gate=True)
    found["selective_scan alone"] = partial(scan, 16, 64, 330, "fp32", scans=1)
    found["selective_scan of one"] = partial(scan, 1, 1, 1, "fp32", samples=1, scans=1)
    for states in (1, 8, 24, 64, 128):
        found[f"selective_scan {states} states"] = partial(scan, states, 40, 330, "fp32")
    return found


def small(operator: str) -> None:
    call, given, how = cases("meta")[operator]
    with Launching():
        call(*given, **how).sum().backward()


def normal(*shape: int, kind: Kind = "fp32") -> Tensor:
    return torch.empty(shape, dtype=KINDS[kind], device="meta", requires_grad=True)


def sequences(d: int, t: int, kind: Kind, samples: int, tokens: int) -> list[Tensor]:
    """q, k, v and lr, for two heads of d channels, and rho."""
    n = tokens or 2 * t + t // 2
    qkv = (normal(samples, 2, n, d, kind=kind) for _ in range(3))
    return [*qkv, normal(samples, 2, n, kind=kind), normal(t)]


def linear(
    d: int, t: int, kind: Kind, *, causal: bool = True, samples: int = 2, tokens: int = 0
) -> None:
    """In mini-batches of t; of so many tokens, if any."""
    given = [*sequences(d, t, kind, samples, tokens), normal(2, d, d)]
    given += [normal(2, d) for _ in range(3)]
    with Launching():
        ttt_linear(*given, causal=causal, backwards=TURNED).sum().backward()
        ttt_linear_losses(*given, causal=causal, backwards=TURNED)


def mlp(
    d: int, t: int, kind: Kind, *, causal: bool = True, samples: int = 2, tokens: int = 0
) -> None:
    """In mini-batches of t; of so many tokens, if any."""
    inner = [normal(2, d, 4 * d), normal(2, 4 * d), normal(2, 4 * d, d)]
    given = [*sequences(d, t, kind, samples, tokens), *inner, *(normal(2, d) for _ in range(3))]
    rounded = "tf32" if kind == "bf16" else "ieee"
    asked = patch.object(triton_tune, "precision", lambda _: rounded)  # it asks for a GPU
    with asked, Launching():
        ttt_mlp(*given, causal=causal, backwards=TURNED).sum().backward()
        ttt_mlp_losses(*given, causal=causal, backwards=TURNED)


def conv(kinds: int, n: int, d: int, kind: Kind, *, reach: int = 4) -> None:
    given = [normal(2, kinds, n, d, kind=kind), normal(2, d, reach), normal(2, d)]
    with Launching():
        causal_conv(*given, backwards=TURNED, activation="silu").sum().backward()


def scan(
    states: int,
    d: int,
    n: int,
    kind: Kind,
    *,
    samples: int = 2,
    scans: int = 2,
    merge: Literal["none", "sum", "mean"] = "sum",
    gate: bool = False,
) -> None:
    size = (samples, scans, n)
    given = [*(normal(*size, d, kind=kind) for _ in range(2)), normal(scans, d, states)]
    given += [normal(*size, states, kind=kind) for _ in range(2)]
    given += [normal(scans, d) for _ in range(2)]
    z = normal(samples, n, d, kind=kind) if gate else None
    backwards = TURNED[:scans]
    with Launching():
        selective_scan(*given, backwards=backwards, merge=merge, z=z).sum().backward()
