"""TTT-Linear in plain PyTorch, forward and backward; this is the definition of the operator.

The bias of the inner model is carried as one more row of its weight: with a column of ones behind
queries and keys, the state is S = [W; b] and QKᵀ + 1 is one product. README.md beside this file
has the mathematics.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


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


@dataclass(frozen=True)
class _Chunks:
    """The sequence cut into m mini-batches of t tokens, mini-batches first."""

    queries: Tensor  # [m, b, h, t, d + 1], the last column is 1
    keys: Tensor  # [m, b, h, t, d + 1], the last column is 1
    targets: Tensor  # [m, b, h, t, d], what the inner model is to predict
    lr: Tensor  # [m, b, h, t]
    rho: Tensor  # [t]

    @property
    def step(self) -> Tensor:
        """Rate at which token i sees the inner gradient of token j <= i, [m, b, h, t, t]."""
        return (self.rho[:, None] * self.lr[..., None, :]).tril()

    @property
    def last_step(self) -> Tensor:
        """Rate at which the next mini-batch sees it, [m, b, h, t, 1]."""
        return self.rho[-1] * self.lr[..., None]


class _Inner(NamedTuple):
    """½‖error‖² at Z = K S, with error = gamma * normed + beta - target, and its slope in Z."""

    normed: Tensor
    rstd: Tensor
    error: Tensor
    slope: Tensor


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
) -> tuple[Float[Tensor, "b h n d"], Float[Tensor, "m b h rows d"]]:
    """q + LN(q W_i + b_i) for each token i, and the state [W; b] before each of m mini-batches.

    The state is float32, or float64 where q is. Source: arXiv 2407.04620, sections 2.4 and 2.5.
    """
    kind = torch.promote_types(q.dtype, torch.float32)
    chunks = _cut(q.to(kind), k.to(kind), v.to(kind), lr.to(kind), rho.to(kind))
    scale, shift = gamma.to(kind)[:, None], beta.to(kind)[:, None]
    state = torch.cat([W0, b0[:, None]], 1).to(kind).expand(q.shape[0], -1, -1, -1)
    updates = (chunks.last_step * chunks.keys).mT
    states, slopes = [], []
    for keys, targets, update in zip(chunks.keys, chunks.targets, updates, strict=True):
        slope = _inner(keys @ state, targets, scale, shift, eps).slope
        states.append(state)
        slopes.append(slope)
        state = state - update @ slope
    starts = torch.stack(states)
    mixing = chunks.step * (chunks.queries @ chunks.keys.mT)
    normed, _ = _normalise(chunks.queries @ starts - mixing @ torch.stack(slopes), eps)
    out = chunks.queries[..., :-1] + scale * normed + shift
    return _join(out, q.shape[2]).to(q.dtype), starts


def backward(
    d_out: Float[Tensor, "b h n d"],
    states: Float[Tensor, "m b h rows d"],
    sequences: tuple[Tensor, Tensor, Tensor, Tensor, Tensor],
    gamma: Float[Tensor, "h d"],
    beta: Float[Tensor, "h d"],
    eps: float,
) -> Gradients:
    """Gradients of `forward`, given its `states` and its first five arguments, `sequences`.

    Only `_chain` runs mini-batch by mini-batch; the rest is done for all of them at once.
    """
    kind, length = states.dtype, d_out.shape[2]
    chunks = _cut(*(tensor.to(kind) for tensor in sequences))
    scale, shift = gamma.to(kind)[:, None], beta.to(kind)[:, None]
    d_outs = _split(d_out.to(kind), len(chunks.rho))
    inner = _inner(chunks.keys @ states, chunks.targets, scale, shift, eps)

    similarity = chunks.queries @ chunks.keys.mT
    mixing = chunks.step * similarity
    normed, rstd = _normalise(chunks.queries @ states - mixing @ inner.slope, eps)
    d_after = rstd * _project(d_outs * scale, normed)
    d_mixing = -(d_after @ inner.slope.mT)
    d_similarity = d_mixing * chunks.step

    d_state, d_ends, d_error, d_before = _chain(
        chunks, inner, scale, -(mixing.mT @ d_after), chunks.queries.mT @ d_after
    )
    d_queries = d_after @ states.mT + d_similarity @ chunks.keys
    d_keys = d_similarity.mT @ chunks.queries + d_before @ states.mT
    d_keys = d_keys - chunks.last_step * (inner.slope @ d_ends.mT)
    d_last_step = -((chunks.keys @ d_ends) * inner.slope).sum(-1)
    d_lr, d_rho = _step_backward(chunks, (d_mixing * similarity).tril(), d_last_step)

    d_target = -scale * d_error
    d_gamma = d_outs * normed + inner.error * d_error - inner.normed * d_target
    return Gradients(
        q=d_out + _join(d_queries[..., :-1], length),
        k=_join(d_keys[..., :-1] - d_target, length),
        v=_join(d_target, length),
        lr=_join(d_lr[..., None], length).squeeze(-1),
        rho=F.pad(d_rho, (0, len(sequences[4]) - len(d_rho))),
        W0=d_state[..., :-1, :].sum(0),
        b0=d_state[..., -1, :].sum(0),
        gamma=d_gamma.sum((0, 1, 3)),
        beta=(d_outs - d_target).sum((0, 1, 3)),
    )


def _chain(
    chunks: _Chunks, inner: _Inner, scale: Tensor, d_slopes: Tensor, d_states: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Walk back through the states, from what the outputs alone ask of slopes and states.

    Returns the gradients of the first state, of the state after each mini-batch, of the scaled
    error gamma * error, and of Z.
    """
    ends, d_errors, d_befores = [], [], []
    d_state = torch.zeros_like(d_states[-1])
    for index in reversed(range(len(d_states))):
        keys, normed, rstd = chunks.keys[index], inner.normed[index], inner.rstd[index]
        d_slope = d_slopes[index] - chunks.last_step[index] * (keys @ d_state)
        d_error = rstd * _project(d_slope, normed)
        parallel = (scale * inner.error[index] * normed).mean(-1, keepdim=True)
        along = (d_slope * normed).mean(-1, keepdim=True)
        d_normed = scale * scale * d_error - rstd * (
            d_slope * parallel + scale * inner.error[index] * along
        )
        length = (d_slope * inner.slope[index]).mean(-1, keepdim=True)
        d_before = rstd * (_project(d_normed, normed) - normed * length)
        ends.append(d_state)
        d_errors.append(d_error)
        d_befores.append(d_before)
        d_state = d_state + d_states[index] + keys.mT @ d_before
    ends, d_errors, d_befores = (torch.stack(one[::-1]) for one in (ends, d_errors, d_befores))
    return d_state, ends, d_errors, d_befores


def _step_backward(chunks: _Chunks, d_step: Tensor, d_last_step: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of lr [m, b, h, t] and rho [t] from those of their products."""
    d_lr = (chunks.rho[:, None] * d_step).sum(-2) + chunks.rho[-1] * d_last_step
    d_rho = (d_step @ chunks.lr[..., None]).sum((0, 1, 2, 4))
    return d_lr, torch.cat([d_rho[:-1], d_rho[-1:] + (chunks.lr * d_last_step).sum()])


def _inner(z: Tensor, targets: Tensor, scale: Tensor, shift: Tensor, eps: float) -> _Inner:
    normed, rstd = _normalise(z, eps)
    error = scale * normed + shift - targets
    return _Inner(normed, rstd, error, rstd * _project(scale * error, normed))


def _normalise(z: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Zero mean and unit variance over the last axis; also the factor that did it."""
    variance, mean = torch.var_mean(z, -1, correction=0, keepdim=True)
    rstd = torch.rsqrt(variance + eps)
    return (z - mean) * rstd, rstd


def _project(x: Tensor, normed: Tensor) -> Tensor:
    """Take from x its mean and its part along `normed`; rstd times this is LN's derivative."""
    return x - x.mean(-1, keepdim=True) - normed * (x * normed).mean(-1, keepdim=True)


def _cut(q: Tensor, k: Tensor, v: Tensor, lr: Tensor, rho: Tensor) -> _Chunks:
    size = min(len(rho), q.shape[2])
    return _Chunks(
        queries=F.pad(_split(q, size), (0, 1), value=1.0),
        keys=F.pad(_split(k, size), (0, 1), value=1.0),
        targets=_split(v - k, size),
        lr=_split(lr[..., None], size).squeeze(-1),
        rho=rho[:size],
    )


def _split(x: Tensor, size: int) -> Tensor:
    """[b, h, n, d] -> [m, b, h, size, d]; zeros fill the last mini-batch and teach nothing."""
    missing = -x.shape[2] % size
    return F.pad(x, (0, 0, 0, missing)).unflatten(2, (-1, size)).movedim(2, 0)


def _join(x: Tensor, length: int) -> Tensor:
    """The inverse of `_split`."""
    return x.movedim(0, 2).flatten(2, 3)[:, :, :length]
