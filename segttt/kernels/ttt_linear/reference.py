"""TTT-Linear in plain PyTorch, forward and backward; this is the definition of the operator.

The bias of the inner model is carried as one more row of its weight: with a column of ones behind
queries and keys, the state is S = [W; b] and QKᵀ + 1 is one product. README.md beside this file
has the mathematics.
"""

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
from segttt.kernels.inner_loss import InnerLoss, inner_loss, normalise, project, slope_backward


class Gradients(NamedTuple):
    """One gradient per tensor argument of `forward`, in its order."""

    q: Tensor
    k: Tensor
    v: Tensor
    lr: Tensor
    rho: Tensor
    W0: Tensor
    b0: Tensor
    gamma: Tensor
    beta: Tensor


class _Part(NamedTuple):
    """Gradients of a run of mini-batches, still cut; those of rho, gamma and beta summed."""

    queries: Tensor
    keys: Tensor
    targets: Tensor
    lr: Tensor
    rho: Tensor
    gamma: Tensor
    beta: Tensor


class _Asked(NamedTuple):
    """What the outputs of a run of mini-batches ask for, before the states ask for anything."""

    queries: Tensor
    keys: Tensor | None
    slopes: Tensor | None
    states: Tensor  # at the start of each mini-batch, or at its end where not causal
    step: Tensor | None
    normed: Tensor  # of the answers, not a gradient


def forward(
    q: Float[Tensor, "b h n d"],
    k: Float[Tensor, "b h n d"],
    v: Float[Tensor, "b h n d"],
    lr: Float[Tensor, "b h n"],
    rho: Float[Tensor, " t"],
    W0: Float[Tensor, "h d d"],
    b0: Float[Tensor, "h d"],
    gamma: Float[Tensor, "h d"],
    beta: Float[Tensor, "h d"],
    eps: float,
    *,
    causal: bool = True,
    backwards: list[bool] | None = None,
) -> tuple[Float[Tensor, "b h n d"], Float[Tensor, "m b h rows d"]]:
    """q + LN(q W_i + b_i) for each token i, and the state [W; b] before each mini-batch.

    Where not `causal`, the state after the last mini-batch is there as well. The state is float32,
    or float64 where q is. Source: arXiv 2407.04620, sections 2.4 and 2.5.
    """
    kind = torch.promote_types(q.dtype, torch.float32)
    chunks = _cut((q, k, v, lr, rho), backwards, kind)
    scale, shift = gamma.to(kind)[:, None], beta.to(kind)[:, None]
    first = torch.cat([W0, b0[:, None]], 1).to(kind)
    states = first.new_empty(len(chunks.keys) + 1, q.shape[0], *first.shape)
    states[0] = first
    outs = []
    for run, part in chunks.groups():
        here = states[run.start : run.stop + 1]
        slopes = _learn(part, here, scale, shift, eps)
        normed, _ = normalise(_answers(part, here, slopes, causal), eps)
        outs.append(part.queries[..., :-1] + scale * normed + shift)
    out = turn(join(_whole(outs), q.shape[2]), backwards)
    return out.to(q.dtype), states[:-1] if causal else states


def losses(
    states: Float[Tensor, "starts b h rows d"],
    sequences: tuple[Tensor, Tensor, Tensor, Tensor, Tensor],
    gamma: Float[Tensor, "h d"],
    beta: Float[Tensor, "h d"],
    eps: float,
    *,
    backwards: list[bool] | None = None,
) -> Float[Tensor, "b h m 2"]:
    """The inner loss of each mini-batch, mean over its tokens, before and after its update."""
    kind = states.dtype
    chunks = _cut(sequences, backwards, kind)
    scale, shift = gamma.to(kind)[:, None], beta.to(kind)[:, None]
    found = []
    for run, part in chunks.groups():
        starts = states[run][: len(part.keys)]
        before = inner_loss(part.keys @ starts, part.targets, scale, shift, eps)
        ends = starts - (part.last_step * part.keys).mT @ before.slope
        after = inner_loss(part.keys @ ends, part.targets, scale, shift, eps)
        pair = (mean_over_tokens(loss.value, part) for loss in (before, after))
        found.append(torch.stack(tuple(pair), -1))
    return torch.cat(found, 2).float()


def backward(
    d_out: Float[Tensor, "b h n d"],
    states: Float[Tensor, "m b h rows d"],
    sequences: tuple[Tensor, Tensor, Tensor, Tensor, Tensor],
    gamma: Float[Tensor, "h d"],
    beta: Float[Tensor, "h d"],
    eps: float,
    *,
    causal: bool = True,
    backwards: list[bool] | None = None,
) -> Gradients:
    """Gradients of `forward`, given its `states` and its first five arguments, `sequences`.

    Only `_chain` runs mini-batch by mini-batch; the rest is done for many of them at once.
    """
    kind, length = states.dtype, d_out.shape[2]
    chunks = _cut(sequences, backwards, kind)
    scale, shift = gamma.to(kind)[:, None], beta.to(kind)[:, None]
    d_outs = split(turn(d_out.to(kind), backwards), len(chunks.rho))
    d_state = torch.zeros_like(states[0])
    parts = []
    for run, part in reversed(list(chunks.groups())):
        here = states[run.start : run.stop + (not causal)]
        starts = here[: len(part.keys)]
        inner = inner_loss(part.keys @ starts, part.targets, scale, shift, eps)
        asked = _asked(part, here, inner.slope, d_outs[run] * scale, eps, causal)
        d_state, found = _finish(part, starts, inner, scale, asked, d_state, d_outs[run])
        parts.insert(0, found)
    queries, keys, targets, lrs, *sums = (list(column) for column in zip(*parts, strict=True))
    d_rho, d_gamma, d_beta = (torch.stack(one).sum(0) for one in sums)
    d_target = join(_whole(targets), length)
    return Gradients(
        q=d_out + turn(join(_whole(queries), length), backwards),
        k=turn(join(_whole(keys), length) - d_target, backwards),
        v=turn(d_target, backwards),
        lr=turn(join(_whole(lrs)[..., None], length).squeeze(-1), backwards),
        rho=F.pad(d_rho, (0, len(sequences[4]) - len(d_rho))),
        W0=d_state[..., :-1, :].sum(0),
        b0=d_state[..., -1, :].sum(0),
        gamma=d_gamma,
        beta=d_beta,
    )


def _cut(
    sequences: tuple[Tensor, Tensor, Tensor, Tensor, Tensor],
    backwards: list[bool] | None,
    kind: torch.dtype,
) -> Chunks:
    q, k, v, lr, rho = (tensor.to(kind) for tensor in sequences)
    if backwards is not None:
        q, k, v, lr = (turn(one, backwards) for one in (q, k, v, lr))
    return cut(q, k, v, lr, rho)


def _whole(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _learn(part: Chunks, states: Tensor, scale: Tensor, shift: Tensor, eps: float) -> Tensor:
    """Fill in the states after the first one; the inner gradients that led there."""
    updates = (part.last_step * part.keys).mT
    slopes = []
    for index, (keys, targets, update) in enumerate(
        zip(part.keys, part.targets, updates, strict=True)
    ):
        state = states[index]
        slopes.append(inner_loss(keys @ state, targets, scale, shift, eps).slope)
        states[index + 1] = state - update @ slopes[-1]
    return torch.stack(slopes)


def _answers(part: Chunks, states: Tensor, slopes: Tensor, causal: bool) -> Tensor:
    """The queries through the state that each of them sees."""
    if not causal:
        return part.queries @ states[1:]
    mixing = part.step * (part.queries @ part.keys.mT)
    return part.queries @ states[: len(part.keys)] - mixing @ slopes


def _asked(
    part: Chunks, states: Tensor, slopes: Tensor, d_normed: Tensor, eps: float, causal: bool
) -> _Asked:
    """The backward pass of `_answers` and its norm."""
    if not causal:
        normed, rstd = normalise(part.queries @ states[1:], eps)
        d_after = rstd * project(d_normed, normed)
        d_states = part.queries.mT @ d_after
        return _Asked(d_after @ states[1:].mT, None, None, d_states, None, normed)
    step = part.step
    similarity = part.queries @ part.keys.mT
    mixing = step * similarity
    normed, rstd = normalise(part.queries @ states - mixing @ slopes, eps)
    d_after = rstd * project(d_normed, normed)
    d_mixing = -(d_after @ slopes.mT)
    d_similarity = d_mixing * step
    return _Asked(
        queries=d_after @ states.mT + d_similarity @ part.keys,
        keys=d_similarity.mT @ part.queries,
        slopes=-(mixing.mT @ d_after),
        states=part.queries.mT @ d_after,
        step=(d_mixing * similarity).tril(),
        normed=normed,
    )


def _finish(
    part: Chunks,
    starts: Tensor,
    inner: InnerLoss,
    scale: Tensor,
    asked: _Asked,
    d_state: Tensor,
    d_outs: Tensor,
) -> tuple[Tensor, _Part]:
    """The gradient of the state before this run from that after it, and those of the run."""
    d_state, d_ends, d_error, d_before = _chain(part, inner, scale, asked, d_state)
    d_keys = d_before @ starts.mT - part.last_step * (inner.slope @ d_ends.mT)
    d_last_step = -((part.keys @ d_ends) * inner.slope).sum(-1)
    d_lr, d_rho = step_backward(part, asked.step, d_last_step)
    d_target = -scale * d_error
    d_gamma = d_outs * asked.normed + inner.error * d_error - inner.normed * d_target
    return d_state, _Part(
        queries=asked.queries[..., :-1],
        keys=(d_keys if asked.keys is None else d_keys + asked.keys)[..., :-1],
        targets=d_target,
        lr=d_lr,
        rho=d_rho,
        gamma=d_gamma.sum((0, 1, 3)),
        beta=(d_outs - d_target).sum((0, 1, 3)),
    )


def _chain(
    part: Chunks, inner: InnerLoss, scale: Tensor, asked: _Asked, d_state: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Walk back through the states, from the gradient of the last one.

    Returns the gradients of the first state, of the state after each mini-batch, of the scaled
    error gamma * error, and of Z.
    """
    ends, d_errors, d_befores = [], [], []
    last_step, causal = part.last_step, asked.slopes is not None
    for index in reversed(range(len(last_step))):
        keys, loss = part.keys[index], InnerLoss(*(one[index] for one in inner))
        d_end = d_state if causal else d_state + asked.states[index]
        d_slope = -last_step[index] * (keys @ d_end)
        if asked.slopes is not None:
            d_slope = asked.slopes[index] + d_slope
        d_error, d_before = slope_backward(loss, scale, d_slope)
        ends.append(d_end)
        d_errors.append(d_error)
        d_befores.append(d_before)
        d_state = d_end + keys.mT @ d_before
        if causal:
            d_state = d_state + asked.states[index]
    ends, d_errors, d_befores = (torch.stack(one[::-1]) for one in (ends, d_errors, d_befores))
    return d_state, ends, d_errors, d_befores
