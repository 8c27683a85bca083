"""TTT-Linear on a GPU, backward: which kernels run, and the sums over what they leave."""

from typing import NamedTuple

import triton
from torch import Tensor

from segttt.kernels.ttt_linear.reference import Gradients
from segttt.kernels.ttt_linear.triton_asked import answers_backward
from segttt.kernels.ttt_linear.triton_chain import chain_backward, tokens_backward
from segttt.kernels.ttt_linear.triton_outer import inner, keys_backward, queries_backward
from segttt.kernels.ttt_linear.triton_split import chain_block, launch_each
from segttt.kernels.ttt_linear.triton_tune import Plan, plan, turned_heads

Sequences = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


class _Asked(NamedTuple):
    """What the answers ask of all else, and what the inner gradients are made of."""

    inner: tuple[Tensor, ...]
    """Norm, 1 / standard deviation, and two means, of each key."""
    queries: Tensor
    taught: tuple[Tensor, ...]
    """Gradients of the inner gradients, the keys and the rates; empty where not causal."""
    states: Tensor
    step: Tensor
    norm: Tensor


def backward(
    d_out: Tensor,
    states: Tensor,
    sequences: Sequences,
    gamma: Tensor,
    beta: Tensor,
    eps: float,
    *,
    causal: bool = True,
    backwards: list[bool] | None = None,
) -> Gradients:
    """Gradients of `forward`, given its `states` and its first five arguments, `sequences`."""
    q, k, v, lr, rho = (one.contiguous() for one in sequences)
    b, h, n, d = q.shape
    t = min(n, len(rho))
    m, cut, loose = triton.cdiv(n, t), plan(q, t), (n, t, h)
    learned = (k, v, lr, rho, gamma.contiguous(), beta.contiguous())
    learned += (turned_heads(backwards, h, q.device),)
    if causal and cut.fused:
        asked = _asked_at_once(d_out.contiguous(), q, learned, states, eps, cut)
    else:
        asked = _asked(d_out.contiguous(), q, learned, states, eps, cut, causal)

    d_chain = states.new_empty(m + 1, b, h, d + 1, d)
    given = (*learned, *asked.inner, asked.taught[0], asked.states, d_chain)
    if cut.split:
        launch_each(chain_block, given, range(m, -1, -1), loose, cut, causal)
    else:
        chain_backward[(b * h,)](*given, *loose, CAUSAL=causal, **cut.constants("chain_backward"))
    blocks = cut.blocks("tokens_backward")
    d_k, d_v = (states.new_empty(q.shape) for _ in range(2))
    d_lr, d_last = states.new_empty(lr.shape), states.new_empty(m, blocks, b, h)
    d_norm = states.new_empty(m * blocks, b * h, 2, d)
    tokens_backward[(m * blocks, h, b)](
        *(*learned, states, *asked.inner, *asked.taught, d_chain),
        *(d_k, d_v, d_lr, d_last, d_norm),
        *loose,
        CAUSAL=causal,
        **cut.constants("tokens_backward"),
    )
    rhos = _rho(rho, asked.step, d_last, n, t)
    by_head = (one.unflatten(1, (b, h)).sum((0, 1)) for one in (asked.norm, d_norm))
    d_first, d_norm = d_chain[0].sum(0), sum(by_head)
    weights = (d_first[:, :-1], d_first[:, -1], d_norm[:, 0], d_norm[:, 1])
    own = (one.clone() for one in weights)  # of one head, these parts would share memory
    return Gradients(asked.queries, d_k, d_v, d_lr, rhos, *own)


def _room(q: Tensor, states: Tensor, m: int, blocks: int) -> _Asked:
    """For the results of mini-batches in so many blocks, where causal; of `step` none."""
    b, h, n, d = q.shape
    each, number = q.shape, (b, h, n)
    return _Asked(
        inner=(states.new_empty(each), *(states.new_empty(number) for _ in range(3))),
        queries=states.new_empty(each),
        taught=(*(states.new_empty(each) for _ in range(2)), states.new_empty(number)),
        states=states.new_empty(m, blocks, b, h, d + 1, d),
        step=states.new_empty(0),
        norm=states.new_empty(m * blocks, b * h, 2, d),
    )


def _asked_at_once(
    d_out: Tensor, q: Tensor, learned: tuple[Tensor, ...], states: Tensor, eps: float, cut: Plan
) -> _Asked:
    """By one kernel, where a mini-batch is one block."""
    b, h, n, _ = q.shape
    m = triton.cdiv(n, cut.tokens)
    found = _room(q, states, m, 1)
    step = states.new_empty(b * h, m, cut.block("answers_backward"))
    answers_backward[(m, h, b)](
        *(d_out, states, q, *learned, *found.inner, found.queries, *found.taught),
        *(step, found.states, found.norm),
        *(n, cut.tokens, h, eps),
        **cut.constants("answers_backward"),
    )
    return found._replace(states=found.states[:, 0], step=step)


def _asked(
    d_out: Tensor,
    q: Tensor,
    learned: tuple[Tensor, ...],
    states: Tensor,
    eps: float,
    cut: Plan,
    causal: bool,
) -> _Asked:
    """By one kernel for keys, one for queries, and where causal one back to the keys."""
    b, h, n, _ = q.shape
    k, v, _, _, gamma, beta, turned = learned
    t, blocks = cut.tokens, cut.blocks("queries_backward")
    m, loose = triton.cdiv(n, t), (n, t, h)
    found = _room(q, states, m, blocks)
    inner[(m * cut.blocks("inner"), h, b)](
        *(k, v, gamma, beta, turned, states, *found.inner), *loose, eps, **cut.constants("inner")
    )
    d_after = states.new_empty(q.shape if causal else 0)
    width = blocks * cut.block("queries_backward")
    step = states.new_empty((b * h, m, width) if causal else 0)
    queries_backward[(m * blocks, h, b)](
        *(d_out, q, *learned, states, *found.inner),
        *(found.queries, d_after, found.states, step, found.norm),
        *(*loose, eps),
        CAUSAL=causal,
        **cut.constants("queries_backward"),
    )
    if causal:
        keys_backward[(m * cut.blocks("keys_backward"), h, b)](
            *(q, *learned, *found.inner, d_after, *found.taught),
            *loose,
            **cut.constants("keys_backward"),
        )
    summed = found.states.sum(1) if blocks > 1 else found.states[:, 0]
    return found._replace(states=summed, step=step)


def _rho(rho: Tensor, d_step: Tensor, d_last: Tensor, n: int, t: int) -> Tensor:
    """The gradient of rho from each mini-batch's own, in which its last token counts twice."""
    d_rho = rho.new_zeros(rho.shape, dtype=d_last.dtype)
    if d_step.numel():
        d_rho[:t] = d_step.sum((0, 1))[:t]
    d_rho[t - 1] += d_last[:-1].sum()
    d_rho[(n - 1) % t] += d_last[-1].sum()
    return d_rho
