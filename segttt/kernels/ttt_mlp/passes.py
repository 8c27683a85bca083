"""The passes of TTT-MLP through its inner model, for a run of mini-batches, and their derivatives.

README.md beside this file has the mathematics; names in comments are its symbols.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from segttt.kernels.chunks import Chunks
from segttt.kernels.inner_loss import InnerLoss, inner_loss, normalise, project, slope_backward
from segttt.kernels.ttt_mlp.gelu import curvature, gelu

States = tuple[Tensor, Tensor]
"""[W1; b1] and [W2; b2]: of one mini-batch [b, h, rows, columns], of a run [m, b, h, ...]."""


class Norm(NamedTuple):
    """Scale and shift [h, 1, d] of the layer norm, and what is added to the variance."""

    scale: Tensor
    shift: Tensor
    eps: float


class Taught(NamedTuple):
    """What the tokens of mini-batches teach."""

    features: Tensor  # X = [gelu(Z1), 1]
    slope: Tensor  # G1
    last_slope: Tensor  # G2


class Inner(NamedTuple):
    """The inner model at the keys, and the slopes of its loss in both linear layers' outputs."""

    before: Tensor  # Z1
    steepness: Tensor  # gelu'(Z1)
    features: Tensor  # X = [gelu(Z1), 1]
    returned: Tensor  # H = G2 W2ᵀ
    slope: Tensor  # G1 = H ∘ gelu'(Z1)
    loss: InnerLoss  # its slope is G2

    @property
    def taught(self) -> Taught:
        return Taught(self.features, self.slope, self.loss.slope)


class _Outer(NamedTuple):
    """The learned models at the queries."""

    steepness: Tensor  # gelu'(Z̄1)
    features: Tensor  # X̄ = [gelu(Z̄1), 1]
    normed: Tensor  # of Z̄2
    rstd: Tensor


class Asked(NamedTuple):
    """Gradients that the outputs alone ask for; None where the states after it say it all."""

    queries: Tensor
    first: Tensor  # S1 before each mini-batch, or after it where not causal
    second: Tensor  # S2, likewise
    normed: Tensor  # of the outputs, not a gradient
    keys: Tensor | None = None
    features: Tensor | None = None  # X
    slope: Tensor | None = None  # G1
    last_slope: Tensor | None = None  # G2
    step: Tensor | None = None


class Chained(NamedTuple):
    """Gradients of the states before the run, and what later states ask of each mini-batch."""

    states: States
    keys: Tensor
    error: Tensor  # gamma * error
    last_step: Tensor


def inner_pass(keys: Tensor, targets: Tensor, states: States, norm: Norm) -> Inner:
    """The inner model's pass over the keys, and back to its first layer."""
    first, second = states
    before = keys @ first
    value, steepness = gelu(before)
    features = F.pad(value, (0, 1), value=1.0)
    loss = inner_loss(features @ second, targets, *norm)
    returned = loss.slope @ second[..., :-1, :].mT
    return Inner(before, steepness, features, returned, returned * steepness, loss)


def answers(part: Chunks, states: States, taught: Taught | None, eps: float) -> Tensor:
    """The norm of what the inner model says to the queries.

    With `taught`, each query sees what was learned until its token, and `states` are those before
    the mini-batches; without it, `states` are what each query sees.
    """
    if taught is None:
        return _direct(part, states, eps).normed
    return _mixed(part, states, taught, eps)[0].normed


def answers_backward(
    part: Chunks, states: States, taught: Taught | None, d_normed: Tensor, eps: float
) -> Asked:
    """The backward pass of `answers`, from the gradient of its norm."""
    if taught is None:
        return _direct_backward(part, states, d_normed, eps)
    return _mixed_backward(part, states, taught, d_normed, eps)


def chain(
    part: Chunks, states: States, inner: Inner, norm: Norm, asked: Asked, d_states: States
) -> Chained:
    """Walk back through the states before each mini-batch, from the gradient of those after all."""
    d_keys, d_errors, d_last_steps = [], [], []
    last_step, bend = part.last_step, inner.returned * curvature(inner.before)
    for index in reversed(range(len(last_step))):
        keys, rate = part.keys[index], last_step[index]
        first, second = states[0][index], states[1][index]
        features, slope, steepness = (
            one[index] for one in (inner.features, inner.slope, inner.steepness)
        )
        loss = InnerLoss(*(one[index] for one in inner.loss))
        here = asked.first[index], asked.second[index]
        d_first, d_second = d_states if asked.step is not None else _sum(d_states, here)
        pull, last_pull = keys @ d_first, features @ d_second
        d_slope = _at(asked.slope, index) - rate * pull
        d_returned = d_slope * steepness
        d_last_slope = _at(asked.last_slope, index) - rate * last_pull
        d_error, d_after = slope_backward(
            loss, norm.scale, d_last_slope + d_returned @ second[..., :-1, :]
        )
        d_features = _at(asked.features, index) - rate * (loss.slope @ d_second.mT)
        d_features = d_features + d_after @ second.mT
        d_before = d_slope * bend[index] + d_features[..., :-1] * steepness
        d_keys.append(d_before @ first.mT - rate * (slope @ d_first.mT))
        d_errors.append(d_error)
        d_last_steps.append(-(pull * slope).sum(-1) - (last_pull * loss.slope).sum(-1))
        d_weight = F.pad(d_returned.mT @ loss.slope, (0, 0, 0, 1))
        grown = keys.mT @ d_before, features.mT @ d_after + d_weight
        d_states = _sum((d_first, d_second), grown)
        if asked.step is not None:
            d_states = _sum(d_states, here)
    return Chained(d_states, *(torch.stack(one[::-1]) for one in (d_keys, d_errors, d_last_steps)))


def _direct(part: Chunks, states: States, eps: float) -> _Outer:
    value, steepness = gelu(part.queries @ states[0])
    features = F.pad(value, (0, 1), value=1.0)
    return _Outer(steepness, features, *normalise(features @ states[1], eps))


def _mixed(
    part: Chunks, states: States, taught: Taught, eps: float
) -> tuple[_Outer, tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Also Q Kᵀ and X̄ Xᵀ, and M1 and M2."""
    step = part.step
    similarity = part.queries @ part.keys.mT
    mixing = step * similarity
    value, steepness = gelu(part.queries @ states[0] - mixing @ taught.slope)
    features = F.pad(value, (0, 1), value=1.0)
    feature_similarity = features @ taught.features.mT
    feature_mixing = step * feature_similarity
    after = features @ states[1] - feature_mixing @ taught.last_slope
    outer = _Outer(steepness, features, *normalise(after, eps))
    return outer, (similarity, feature_similarity), (mixing, feature_mixing)


def _direct_backward(part: Chunks, states: States, d_normed: Tensor, eps: float) -> Asked:
    outer = _direct(part, states, eps)
    d_after = outer.rstd * project(d_normed, outer.normed)
    d_hidden = (d_after @ states[1][..., :-1, :].mT) * outer.steepness
    return Asked(
        queries=d_hidden @ states[0].mT,
        first=part.queries.mT @ d_hidden,
        second=outer.features.mT @ d_after,
        normed=outer.normed,
    )


def _mixed_backward(
    part: Chunks, states: States, taught: Taught, d_normed: Tensor, eps: float
) -> Asked:
    step = part.step
    outer, (similarity, feature_similarity), (mixing, feature_mixing) = _mixed(
        part, states, taught, eps
    )
    d_after = outer.rstd * project(d_normed, outer.normed)
    d_feature_mixing = -(d_after @ taught.last_slope.mT)
    d_feature_similarity = d_feature_mixing * step
    d_features = d_after @ states[1].mT + d_feature_similarity @ taught.features
    d_hidden = d_features[..., :-1] * outer.steepness
    d_mixing = -(d_hidden @ taught.slope.mT)
    d_similarity = d_mixing * step
    d_step = d_mixing * similarity + d_feature_mixing * feature_similarity
    return Asked(
        queries=d_hidden @ states[0].mT + d_similarity @ part.keys,
        first=part.queries.mT @ d_hidden,
        second=outer.features.mT @ d_after,
        normed=outer.normed,
        keys=d_similarity.mT @ part.queries,
        features=d_feature_similarity.mT @ outer.features,
        slope=-(mixing.mT @ d_hidden),
        last_slope=-(feature_mixing.mT @ d_after),
        step=d_step.tril(),
    )


def _at(asked: Tensor | None, index: int) -> Tensor | float:
    return 0.0 if asked is None else asked[index]


def _sum(one: States, other: States) -> States:
    return one[0] + other[0], one[1] + other[1]
