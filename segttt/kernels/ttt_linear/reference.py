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

from segttt.kernels.chunks import Chunks, cut, join, split, step_backward
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
    chunks = cut(q.to(kind), k.to(kind), v.to(kind), lr.to(kind), rho.to(kind))
    scale, shift = gamma.to(kind)[:, None], beta.to(kind)[:, None]
    state = torch.cat([W0, b0[:, None]], 1).to(kind).expand(q.shape[0], -1, -1, -1)
    updates = (chunks.last_step * chunks.keys).mT
    states, slopes = [], []
    for keys, targets, update in zip(chunks.keys, chunks.targets, updates, strict=True):
        slope = inner_loss(keys @ state, targets, scale, shift, eps).slope
        states.append(state)
        slopes.append(slope)
        state = state - update @ slope
    starts = torch.stack(states)
    mixing = chunks.step * (chunks.queries @ chunks.keys.mT)
    normed, _ = normalise(chunks.queries @ starts - mixing @ torch.stack(slopes), eps)
    out = chunks.queries[..., :-1] + scale * normed + shift
    return join(out, q.shape[2]).to(q.dtype), starts


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
    chunks = cut(*(tensor.to(kind) for tensor in sequences))
    scale, shift = gamma.to(kind)[:, None], beta.to(kind)[:, None]
    d_outs = split(d_out.to(kind), len(chunks.rho))
    inner = inner_loss(chunks.keys @ states, chunks.targets, scale, shift, eps)

    similarity = chunks.queries @ chunks.keys.mT
    mixing = chunks.step * similarity
    normed, rstd = normalise(chunks.queries @ states - mixing @ inner.slope, eps)
    d_after = rstd * project(d_outs * scale, normed)
    d_mixing = -(d_after @ inner.slope.mT)
    d_similarity = d_mixing * chunks.step

    d_state, d_ends, d_error, d_before = _chain(
        chunks, inner, scale, -(mixing.mT @ d_after), chunks.queries.mT @ d_after
    )
    d_queries = d_after @ states.mT + d_similarity @ chunks.keys
    d_keys = d_similarity.mT @ chunks.queries + d_before @ states.mT
    d_keys = d_keys - chunks.last_step * (inner.slope @ d_ends.mT)
    d_last_step = -((chunks.keys @ d_ends) * inner.slope).sum(-1)
    d_lr, d_rho = step_backward(chunks, (d_mixing * similarity).tril(), d_last_step)

    d_target = -scale * d_error
    d_gamma = d_outs * normed + inner.error * d_error - inner.normed * d_target
    return Gradients(
        q=d_out + join(d_queries[..., :-1], length),
        k=join(d_keys[..., :-1] - d_target, length),
        v=join(d_target, length),
        lr=join(d_lr[..., None], length).squeeze(-1),
        rho=F.pad(d_rho, (0, len(sequences[4]) - len(d_rho))),
        W0=d_state[..., :-1, :].sum(0),
        b0=d_state[..., -1, :].sum(0),
        gamma=d_gamma.sum((0, 1, 3)),
        beta=(d_outs - d_target).sum((0, 1, 3)),
    )


def _chain(
    chunks: Chunks, inner: InnerLoss, scale: Tensor, d_slopes: Tensor, d_states: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Walk back through the states, from what the outputs alone ask of slopes and states.

    Returns the gradients of the first state, of the state after each mini-batch, of the scaled
    error gamma * error, and of Z.
    """
    ends, d_errors, d_befores = [], [], []
    d_state = torch.zeros_like(d_states[-1])
    last_step = chunks.last_step
    for index in reversed(range(len(d_states))):
        keys, loss = chunks.keys[index], InnerLoss(*(part[index] for part in inner))
        d_slope = d_slopes[index] - last_step[index] * (keys @ d_state)
        d_error, d_before = slope_backward(loss, scale, d_slope)
        ends.append(d_state)
        d_errors.append(d_error)
        d_befores.append(d_before)
        d_state = d_state + d_states[index] + keys.mT @ d_before
    ends, d_errors, d_befores = (torch.stack(one[::-1]) for one in (ends, d_errors, d_befores))
    return d_state, ends, d_errors, d_befores
