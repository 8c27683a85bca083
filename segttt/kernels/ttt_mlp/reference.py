"""TTT-MLP in plain PyTorch, forward and backward; this is the definition of the operator.

The biases of the inner model are carried as one more row of its weights: with a column of ones
behind queries, keys and features, the state is S1 = [W1; b1] and S2 = [W2; b2]. README.md beside
this file has the mathematics.
"""

from math import pi, sqrt
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from segttt.kernels.chunks import Chunks, cut, join, split, step_backward
from segttt.kernels.inner_loss import InnerLoss, inner_loss, normalise, project, slope_backward

# gelu(z) ≈ z (1 + tanh(RATE (z + CUBIC z³))) / 2, arXiv 1606.08415.
RATE = sqrt(2 / pi)
CUBIC = 0.044715


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


class _Inner(NamedTuple):
    """The inner model at the keys, and the slopes of its loss in both linear layers' outputs."""

    before: Tensor  # Z1
    steepness: Tensor  # gelu'(Z1)
    features: Tensor  # X = [gelu(Z1), 1]
    returned: Tensor  # H = G2 W2ᵀ
    slope: Tensor  # G1 = H ∘ gelu'(Z1)


class _Outer(NamedTuple):
    """The learned models at the queries."""

    similarity: Tensor  # Q Kᵀ
    mixing: Tensor  # M1
    steepness: Tensor  # gelu'(Z̄1)
    features: Tensor  # X̄ = [gelu(Z̄1), 1]
    feature_similarity: Tensor  # X̄ Xᵀ
    feature_mixing: Tensor  # M2
    normed: Tensor  # of Z̄2
    rstd: Tensor


class _Asked(NamedTuple):
    """Gradients that the outputs alone ask for."""

    queries: Tensor
    keys: Tensor
    features: Tensor  # X
    step: Tensor
    slope: Tensor  # G1
    last_slope: Tensor  # G2
    first: Tensor  # S1
    second: Tensor  # S2


class _Chained(NamedTuple):
    """Gradients of the initial states, and for all mini-batches what the later states ask for."""

    first: Tensor  # S1 before the first mini-batch
    second: Tensor  # S2 before the first mini-batch
    keys: Tensor
    error: Tensor  # gamma * error
    last_step: Tensor


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
) -> tuple[
    Float[Tensor, "b h n d"], Float[Tensor, "m b h rows wide"], Float[Tensor, "m b h more d"]
]:
    """q + LN(f_i(q)) for each token i, and the states [W1; b1], [W2; b2] before each mini-batch.

    The states are float32, or float64 where q is. Source: arXiv 2407.04620, sections 2.4 to 2.7.
    """
    kind = torch.promote_types(q.dtype, torch.float32)
    chunks = cut(q.to(kind), k.to(kind), v.to(kind), lr.to(kind), rho.to(kind))
    scale, shift = gamma.to(kind)[:, None], beta.to(kind)[:, None]
    first = torch.cat([W1, b1[:, None]], 1).to(kind).expand(q.shape[0], -1, -1, -1)
    second = torch.cat([W2, b2[:, None]], 1).to(kind).expand(q.shape[0], -1, -1, -1)
    states, passes = [], []
    for keys, targets, rate in zip(chunks.keys, chunks.targets, chunks.last_step, strict=True):
        inner, loss = _inner(keys, targets, (first, second), scale, shift, eps)
        states.append((first, second))
        passes.append((inner.features, inner.slope, loss.slope))
        first = first - (rate * keys).mT @ inner.slope
        second = second - (rate * inner.features).mT @ loss.slope
    firsts, seconds = map(torch.stack, zip(*states, strict=True))
    features, slope, last_slope = map(torch.stack, zip(*passes, strict=True))
    outer = _outer(chunks, (firsts, seconds), features, slope, last_slope, eps)
    out = chunks.queries[..., :-1] + scale * outer.normed + shift
    return join(out, q.shape[2]).to(q.dtype), firsts, seconds


def backward(
    d_out: Float[Tensor, "b h n d"],
    states: tuple[Float[Tensor, "m b h rows wide"], Float[Tensor, "m b h more d"]],
    sequences: tuple[Tensor, Tensor, Tensor, Tensor, Tensor],
    gamma: Float[Tensor, "h d"],
    beta: Float[Tensor, "h d"],
    eps: float,
) -> Gradients:
    """Gradients of `forward`, given its `states` and its first five arguments, `sequences`.

    Only `_chain` runs mini-batch by mini-batch; the rest is done for all of them at once.
    """
    kind, length = states[0].dtype, d_out.shape[2]
    chunks = cut(*(tensor.to(kind) for tensor in sequences))
    scale, shift = gamma.to(kind)[:, None], beta.to(kind)[:, None]
    d_outs = split(d_out.to(kind), len(chunks.rho))
    inner, loss = _inner(chunks.keys, chunks.targets, states, scale, shift, eps)
    outer = _outer(chunks, states, inner.features, inner.slope, loss.slope, eps)
    asked = _outer_backward(chunks, states, inner, loss, outer, d_outs * scale)
    chained = _chain(chunks, states, inner, loss, scale, asked)
    d_lr, d_rho = step_backward(chunks, asked.step, chained.last_step)
    d_target = -scale * chained.error
    d_gamma = d_outs * outer.normed + loss.error * chained.error - loss.normed * d_target
    return Gradients(
        q=d_out + join(asked.queries[..., :-1], length),
        k=join((asked.keys + chained.keys)[..., :-1] - d_target, length),
        v=join(d_target, length),
        lr=join(d_lr[..., None], length).squeeze(-1),
        rho=F.pad(d_rho, (0, len(sequences[4]) - len(d_rho))),
        W1=chained.first[..., :-1, :].sum(0),
        b1=chained.first[..., -1, :].sum(0),
        W2=chained.second[..., :-1, :].sum(0),
        b2=chained.second[..., -1, :].sum(0),
        gamma=d_gamma.sum((0, 1, 3)),
        beta=(d_outs - d_target).sum((0, 1, 3)),
    )


def _inner(
    keys: Tensor,
    targets: Tensor,
    states: tuple[Tensor, Tensor],
    scale: Tensor,
    shift: Tensor,
    eps: float,
) -> tuple[_Inner, InnerLoss]:
    """The inner model's pass over the keys, and back to its first layer."""
    first, second = states
    before = keys @ first
    value, steepness = _gelu(before)
    features = F.pad(value, (0, 1), value=1.0)
    loss = inner_loss(features @ second, targets, scale, shift, eps)
    returned = loss.slope @ second[..., :-1, :].mT
    return _Inner(before, steepness, features, returned, returned * steepness), loss


def _outer(
    chunks: Chunks,
    states: tuple[Tensor, Tensor],
    features: Tensor,
    slope: Tensor,
    last_slope: Tensor,
    eps: float,
) -> _Outer:
    """The pass of all queries, each through the model as learned until its token."""
    first, second = states
    step = chunks.step
    similarity = chunks.queries @ chunks.keys.mT
    mixing = step * similarity
    value, steepness = _gelu(chunks.queries @ first - mixing @ slope)
    outer_features = F.pad(value, (0, 1), value=1.0)
    feature_similarity = outer_features @ features.mT
    feature_mixing = step * feature_similarity
    normed, rstd = normalise(outer_features @ second - feature_mixing @ last_slope, eps)
    return _Outer(
        similarity,
        mixing,
        steepness,
        outer_features,
        feature_similarity,
        feature_mixing,
        normed,
        rstd,
    )


def _outer_backward(
    chunks: Chunks,
    states: tuple[Tensor, Tensor],
    inner: _Inner,
    loss: InnerLoss,
    outer: _Outer,
    d_normed: Tensor,
) -> _Asked:
    """The backward pass of `_outer`, from the gradient of its norm."""
    first, second = states
    step = chunks.step
    d_after = outer.rstd * project(d_normed, outer.normed)
    d_feature_mixing = -(d_after @ loss.slope.mT)
    d_feature_similarity = d_feature_mixing * step
    d_features = d_after @ second.mT + d_feature_similarity @ inner.features
    d_hidden = d_features[..., :-1] * outer.steepness
    d_mixing = -(d_hidden @ inner.slope.mT)
    d_similarity = d_mixing * step
    d_step = d_mixing * outer.similarity + d_feature_mixing * outer.feature_similarity
    return _Asked(
        queries=d_hidden @ first.mT + d_similarity @ chunks.keys,
        keys=d_similarity.mT @ chunks.queries,
        features=d_feature_similarity.mT @ outer.features,
        step=d_step.tril(),
        slope=-(outer.mixing.mT @ d_hidden),
        last_slope=-(outer.feature_mixing.mT @ d_after),
        first=chunks.queries.mT @ d_hidden,
        second=outer.features.mT @ d_after,
    )


def _chain(
    chunks: Chunks,
    states: tuple[Tensor, Tensor],
    inner: _Inner,
    loss: InnerLoss,
    scale: Tensor,
    asked: _Asked,
) -> _Chained:
    """Walk back through the states, from what the outputs alone ask of them."""
    d_keys, d_errors, d_last_steps = [], [], []
    d_first, d_second = torch.zeros_like(asked.first[-1]), torch.zeros_like(asked.second[-1])
    last_step, bend = chunks.last_step, inner.returned * _gelu_curvature(inner.before)
    for index in reversed(range(len(last_step))):
        keys, features, rate = chunks.keys[index], inner.features[index], last_step[index]
        first, second = states[0][index], states[1][index]
        slope, last_slope = inner.slope[index], loss.slope[index]
        pull, last_pull = keys @ d_first, features @ d_second
        d_slope = asked.slope[index] - rate * pull
        d_returned = d_slope * inner.steepness[index]
        d_last_slope = asked.last_slope[index] - rate * last_pull + d_returned @ second[..., :-1, :]
        at = InnerLoss(*(part[index] for part in loss))
        d_error, d_after = slope_backward(at, scale, d_last_slope)
        d_features = asked.features[index] - rate * (last_slope @ d_second.mT) + d_after @ second.mT
        d_before = d_slope * bend[index] + d_features[..., :-1] * inner.steepness[index]
        d_keys.append(d_before @ first.mT - rate * (slope @ d_first.mT))
        d_errors.append(d_error)
        d_last_steps.append(-(pull * slope).sum(-1) - (last_pull * last_slope).sum(-1))
        d_first = d_first + asked.first[index] + keys.mT @ d_before
        d_weight = F.pad(d_returned.mT @ last_slope, (0, 0, 0, 1))
        d_second = d_second + asked.second[index] + features.mT @ d_after + d_weight
    forwards = (torch.stack(one[::-1]) for one in (d_keys, d_errors, d_last_steps))
    return _Chained(d_first, d_second, *forwards)


def _gelu(z: Tensor) -> tuple[Tensor, Tensor]:
    """gelu(z) in its tanh form, and gelu'(z)."""
    bent, bent_slope = _bent(z)
    half = 0.5 * (1 + bent)
    return z * half, half + 0.5 * z * bent_slope


def _gelu_curvature(z: Tensor) -> Tensor:
    """gelu''(z)."""
    bent, bent_slope = _bent(z)
    inner_slope = RATE * (1 + 3 * CUBIC * z**2)
    bent_curvature = (1 - bent**2) * 6 * RATE * CUBIC * z - 2 * bent * bent_slope * inner_slope
    return bent_slope + 0.5 * z * bent_curvature


def _bent(z: Tensor) -> tuple[Tensor, Tensor]:
    """The tanh in gelu(z), and its slope, which must be 0 before it meets a large factor."""
    bent = torch.tanh(RATE * (z + CUBIC * z**3))
    return bent, (1 - bent**2) * RATE * (1 + 3 * CUBIC * z**2)
