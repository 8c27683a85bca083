"""TTT-MLP in plain PyTorch, forward and backward; this is the definition of the operator.

The biases of the inner model are carried as one more row of its weights: with a column of ones
behind queries, keys and features, the state is S1 = [W1; b1] and S2 = [W2; b2]. README.md beside
this file has the mathematics.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from segttt.kernels.chunks import (
    Chunks,
    cut,
    join,
    mean_over_tokens,
    split,
    step_backward,
    turn,
)
from segttt.kernels.ttt_mlp.passes import (
    Asked,
    Chained,
    Inner,
    Norm,
    States,
    Taught,
    answers,
    answers_backward,
    chain,
    inner_pass,
)

# Numbers in one t x w matrix over all mini-batches of a group: 4 MB in float32. About twenty of
# them live at once in a backward pass, so larger groups leave the cache: 16 times as large takes
# 1.5 times as long at 6,720 tokens (measured).
GROUP_NUMBERS = 2**20

Sequences = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""q, k, v, lr and rho."""


class Gradients(NamedTuple):
    """One gradient per tensor argument of `forward`, in its order."""

    q: Tensor
    k: Tensor
    v: Tensor
    lr: Tensor
    rho: Tensor
    W1: Tensor
    b1: Tensor
    W2: Tensor
    b2: Tensor
    gamma: Tensor
    beta: Tensor


class _Part(NamedTuple):
    """Gradients of a group of mini-batches, still cut; of rho, gamma and beta the sum, [1, ...]."""

    queries: Tensor
    keys: Tensor
    targets: Tensor
    lr: Tensor
    rho: Tensor
    gamma: Tensor
    beta: Tensor


def forward(
    q: Float[Tensor, "b h n d"],
    k: Float[Tensor, "b h n d"],
    v: Float[Tensor, "b h n d"],
    lr: Float[Tensor, "b h n"],
    rho: Float[Tensor, " t"],
    W1: Float[Tensor, "h d wide"],
    b1: Float[Tensor, "h wide"],
    W2: Float[Tensor, "h wide d"],
    b2: Float[Tensor, "h d"],
    gamma: Float[Tensor, "h d"],
    beta: Float[Tensor, "h d"],
    eps: float,
    *,
    causal: bool = True,
    backwards: list[bool] | None = None,
    keep: bool = True,
) -> tuple[
    Float[Tensor, "b h n d"], Float[Tensor, "m b h rows wide"], Float[Tensor, "m b h more d"]
]:
    """q + LN(f_i(q)) for each token i, and the states [W1; b1], [W2; b2] before each mini-batch.

    Where not `causal`, the states after the last mini-batch are there as well; without `keep`, none
    are. They are float32, or float64 where q is. Source: arXiv 2407.04620, sections 2.4 to 2.7.
    """
    kind = torch.promote_types(q.dtype, torch.float32)
    chunks, norm = _prepared((q, k, v, lr, rho), gamma, beta, eps, backwards, kind)
    room = len(chunks.lr) if keep else _together(chunks, b1.shape[1])
    states = _room(W1, b1, room + 1, len(q), kind), _room(W2, b2, room + 1, len(q), kind)
    outs = []
    for run, part in _groups(chunks, b1.shape[1]):
        start, end = (run.start, run.stop) if keep else (0, len(part.lr))
        here = states[0][start : end + 1], states[1][start : end + 1]
        taught = _learn(part, here, norm, causal)
        normed = answers(part, _seen(here, causal), taught, eps)
        outs.append(part.queries[..., :-1] + norm.scale * normed + norm.shift)
        if not keep:
            states[0][0], states[1][0] = here[0][-1], here[1][-1]
    out = turn(join(torch.cat(outs), q.shape[2]), backwards).to(q.dtype)
    stop = len(chunks.lr) + (not causal) if keep else 0
    return out, states[0][:stop], states[1][:stop]


def losses(
    states: States,
    sequences: Sequences,
    gamma: Float[Tensor, "h d"],
    beta: Float[Tensor, "h d"],
    eps: float,
    *,
    backwards: list[bool] | None = None,
) -> Float[Tensor, "b h m 2"]:
    """The inner loss of each mini-batch, mean over its tokens, before and after its update."""
    kind = states[0].dtype
    chunks, norm = _prepared(sequences, gamma, beta, eps, backwards, kind)
    found = []
    for run, part in _groups(chunks, states[0].shape[-1]):
        first, second = (one[run.start : run.stop] for one in states)
        inner = inner_pass(part.keys, part.targets, (first, second), norm)
        rate = part.last_step
        ends = (
            first - (rate * part.keys).mT @ inner.slope,
            second - (rate * inner.features).mT @ inner.loss.slope,
        )
        after = inner_pass(part.keys, part.targets, ends, norm)
        pair = [mean_over_tokens(one.loss.value, part) for one in (inner, after)]
        found.append(torch.stack(pair, -1))
    return torch.cat(found, 2).float()


def backward(
    d_out: Float[Tensor, "b h n d"],
    states: States,
    sequences: Sequences,
    gamma: Float[Tensor, "h d"],
    beta: Float[Tensor, "h d"],
    eps: float,
    *,
    causal: bool = True,
    backwards: list[bool] | None = None,
) -> Gradients:
    """Gradients of `forward`, given its `states` and its first five arguments, `sequences`.

    Only `chain` runs mini-batch by mini-batch; the rest is done for many of them at once.
    """
    kind, length = states[0].dtype, d_out.shape[2]
    chunks, norm = _prepared(sequences, gamma, beta, eps, backwards, kind)
    d_outs = split(turn(d_out.to(kind), backwards), len(chunks.rho))
    d_states = torch.zeros_like(states[0][0]), torch.zeros_like(states[1][0])
    parts: list[_Part] = []
    for run, part in reversed(list(_groups(chunks, states[0].shape[-1]))):
        stop = run.stop + (not causal)
        here = states[0][run.start : stop], states[1][run.start : stop]
        starts = here[0][: len(part.lr)], here[1][: len(part.lr)]
        inner = inner_pass(part.keys, part.targets, starts, norm)
        seen, taught = (here, inner.taught) if causal else (_seen(here, causal), None)
        asked = answers_backward(part, seen, taught, d_outs[run] * norm.scale, eps)
        chained = chain(part, starts, inner, norm, asked, d_states)
        d_states = chained.states
        parts.insert(0, _part(part, inner, norm, asked, chained, d_outs[run]))
    queries, keys, targets, d_lr, d_rho, d_gamma, d_beta = (
        torch.cat(one) for one in zip(*parts, strict=True)
    )
    d_target = join(targets, length)
    return Gradients(
        q=d_out + turn(join(queries, length), backwards),
        k=turn(join(keys, length) - d_target, backwards),
        v=turn(d_target, backwards),
        lr=turn(join(d_lr[..., None], length).squeeze(-1), backwards),
        rho=F.pad(d_rho.sum(0), (0, len(sequences[4]) - len(chunks.rho))),
        W1=d_states[0][..., :-1, :].sum(0),
        b1=d_states[0][..., -1, :].sum(0),
        W2=d_states[1][..., :-1, :].sum(0),
        b2=d_states[1][..., -1, :].sum(0),
        gamma=d_gamma.sum(0),
        beta=d_beta.sum(0),
    )


def _prepared(
    sequences: Sequences,
    gamma: Tensor,
    beta: Tensor,
    eps: float,
    backwards: list[bool] | None,
    kind: torch.dtype,
) -> tuple[Chunks, Norm]:
    q, k, v, lr = (turn(one.to(kind), backwards) for one in sequences[:4])
    chunks = cut(q, k, v, lr, sequences[4].to(kind))
    return chunks, Norm(gamma.to(kind)[:, None], beta.to(kind)[:, None], eps)


def _room(W: Tensor, b: Tensor, room: int, samples: int, kind: torch.dtype) -> Tensor:
    """States [room, b, h, rows, columns], of which the first is [W; b]."""
    initial = torch.cat([W, b[:, None]], 1).to(kind)
    states = initial.new_empty(room, samples, *initial.shape)
    states[0] = initial
    return states


def _together(chunks: Chunks, wide: int) -> int:
    """How many mini-batches make a group."""
    m, b, h, t = chunks.lr.shape
    return min(m, max(1, GROUP_NUMBERS // (b * h * t * max(t, wide))))


def _groups(chunks: Chunks, wide: int) -> Iterator[tuple[slice, Chunks]]:
    """Runs of mini-batches, first to last."""
    m, size = len(chunks.lr), _together(chunks, wide)
    for start in range(0, m, size):
        run = slice(start, min(start + size, m))
        names = ("queries", "keys", "targets", "lr", "last")
        yield run, replace(chunks, **{name: getattr(chunks, name)[run] for name in names})


def _seen(states: States, causal: bool) -> States:
    """Of the states around each mini-batch, those that the answers start from."""
    own = slice(0, -1) if causal else slice(1, None)
    return states[0][own], states[1][own]


def _learn(part: Chunks, states: States, norm: Norm, causal: bool) -> Taught | None:
    """Fill in the states after the first one; where causal, what the tokens taught."""
    taught = []
    for index, rate in enumerate(part.last_step):
        keys, start = part.keys[index], (states[0][index], states[1][index])
        one = inner_pass(keys, part.targets[index], start, norm).taught
        states[0][index + 1] = start[0] - (rate * keys).mT @ one.slope
        states[1][index + 1] = start[1] - (rate * one.features).mT @ one.last_slope
        if causal:
            taught.append(one)
    if not causal:
        return None
    features, slope, last_slope = map(torch.stack, zip(*taught, strict=True))
    return Taught(features, slope, last_slope)


def _part(
    part: Chunks, inner: Inner, norm: Norm, asked: Asked, chained: Chained, d_outs: Tensor
) -> _Part:
    d_lr, d_rho = step_backward(part, asked.step, chained.last_step)
    d_target = -norm.scale * chained.error
    d_gamma = (
        d_outs * asked.normed + inner.loss.error * chained.error - inner.loss.normed * d_target
    )
    keys = chained.keys if asked.keys is None else asked.keys + chained.keys
    return _Part(
        queries=asked.queries[..., :-1],
        keys=keys[..., :-1],
        targets=d_target,
        lr=d_lr,
        rho=d_rho[None],
        gamma=d_gamma.sum((0, 1, 3))[None],
        beta=(d_outs - d_target).sum((0, 1, 3))[None],
    )
