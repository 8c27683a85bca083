"""TTT-Linear on a GPU, backward: which kernels run, and the sums over what they leave."""

import triton
from torch import Tensor

from segttt.kernels.ttt_linear.reference import Gradients
from segttt.kernels.ttt_linear.triton_chain import chain_backward, tokens_backward
from segttt.kernels.ttt_linear.triton_outer import inner, keys_backward, queries_backward
from segttt.kernels.ttt_linear.triton_short import short_backward
from segttt.kernels.ttt_linear.triton_tune import plan, turned_heads

Sequences = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


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
    h, n = q.shape[1:3]
    turned = turned_heads(backwards, h, q.device)
    arguments = (d_out.contiguous(), states, (q, k, v, lr, rho))
    run = _short if plan(q, min(n, len(rho))).runs("short_backward") else _long
    return run(*arguments, gamma.contiguous(), beta.contiguous(), turned, eps, causal)


def _short(
    d_out: Tensor,
    states: Tensor,
    sequences: Sequences,
    gamma: Tensor,
    beta: Tensor,
    turned: Tensor,
    eps: float,
    causal: bool,
) -> Gradients:
    q, _, _, lr, rho = sequences
    b, h, n, d = q.shape
    t = min(n, len(rho))
    cut = plan(q, t)
    d_q, d_k, d_v = (states.new_empty(q.shape) for _ in range(3))
    d_lr = states.new_empty(lr.shape)
    d_states = states.new_empty(triton.cdiv(n, t), b, h, d + 1, d)
    d_rho = states.new_empty(b * h, cut.block("short_backward"))
    d_first, d_norm = states.new_empty(b, h, d + 1, d), states.new_empty(b, h, 2, d)
    short_backward[(b * h,)](
        *(d_out, states, *sequences, gamma, beta, turned),
        *(d_q, d_k, d_v, d_lr, d_states, d_rho, d_first, d_norm),
        *(n, t, h, eps),
        CAUSAL=causal,
        **cut.constants("short_backward"),
    )
    rhos = rho.new_zeros(rho.shape, dtype=states.dtype)
    rhos[:t] = d_rho.sum(0)[:t]
    d_first, d_norm = d_first.sum(0), d_norm.sum(0)
    weights = (d_first[:, :-1], d_first[:, -1], d_norm[:, 0], d_norm[:, 1])
    return Gradients(d_q, d_k, d_v, d_lr, rhos, *weights)


def _long(
    d_out: Tensor,
    states: Tensor,
    sequences: Sequences,
    gamma: Tensor,
    beta: Tensor,
    turned: Tensor,
    eps: float,
    causal: bool,
) -> Gradients:
    q, k, v, lr, rho = sequences
    b, h, n, d = q.shape
    t = min(n, len(rho))
    m, cut = triton.cdiv(n, t), plan(q, t)
    blocks, each, number, loose = cut.blocks("queries_backward"), q.shape, lr.shape, (n, t, h)

    found = (states.new_empty(each), *(states.new_empty(number) for _ in range(3)))
    inner[(m * cut.blocks("inner"), b * h)](
        *(k, v, gamma, beta, turned, states, *found), *loose, eps, **cut.constants("inner")
    )

    d_q, d_k, d_v = (states.new_empty(each) for _ in range(3))
    d_states = states.new_empty(m, blocks, b, h, d + 1, d)
    d_outer_norm = states.new_empty(m * blocks, b * h, 2, d)
    width = blocks * cut.block("queries_backward")
    d_step = states.new_empty((b * h, m, width) if causal else 0)
    queries_backward[(m * blocks, b * h)](
        *(d_out, q, k, v, lr, rho, gamma, beta, turned, states, *found),
        *(d_q, d_v, d_states, d_step, d_outer_norm),
        *(*loose, eps),
        CAUSAL=causal,
        **cut.constants("queries_backward"),
    )
    d_slope, d_key = (states.new_empty(each if causal else 0) for _ in range(2))
    d_rate = states.new_empty(number if causal else 0)
    if causal:
        # What queries_backward left in d_v is read for the last time here.
        keys_backward[(m * blocks, b * h)](
            *(q, k, v, lr, rho, gamma, beta, turned, *found, d_v, d_slope, d_key, d_rate),
            *loose,
            **cut.constants("keys_backward"),
        )
    d_states = d_states.sum(1) if blocks > 1 else d_states[:, 0]

    d_ends = states.new_empty(d_states.shape)
    d_first = states.new_empty(b, h, d + 1, d)
    chain_backward[(b * h,)](
        *(k, v, lr, rho, gamma, beta, turned, *found, d_slope, d_states, d_ends, d_first),
        *loose,
        CAUSAL=causal,
        **cut.constants("chain_backward"),
    )
    blocks = cut.blocks("tokens_backward")
    d_lr, d_last = states.new_empty(number), states.new_empty(m, blocks, b, h)
    d_norm = states.new_empty(m * blocks, b * h, 2, d)
    tokens_backward[(m * blocks, b * h)](
        *(k, v, lr, rho, gamma, beta, turned, states, *found, d_slope, d_key, d_rate, d_ends),
        *(d_k, d_v, d_lr, d_last, d_norm),
        *loose,
        CAUSAL=causal,
        **cut.constants("tokens_backward"),
    )
    rhos = _rho(rho, d_step, d_last, n, t)
    by_head = (one.unflatten(1, (b, h)).sum((0, 1)) for one in (d_outer_norm, d_norm))
    d_first, d_norm = d_first.sum(0), sum(by_head)
    weights = (d_first[:, :-1], d_first[:, -1], d_norm[:, 0], d_norm[:, 1])
    return Gradients(d_q, d_k, d_v, d_lr, rhos, *weights)


def _rho(rho: Tensor, d_step: Tensor, d_last: Tensor, n: int, t: int) -> Tensor:
    """The gradient of rho from each mini-batch's own, in which its last token counts twice."""
    d_rho = rho.new_zeros(rho.shape, dtype=d_last.dtype)
    if d_step.numel():
        d_rho[:t] = d_step.sum((0, 1))[:t]
    d_rho[t - 1] += d_last[:-1].sum()
    d_rho[(n - 1) % t] += d_last[-1].sum()
    return d_rho
