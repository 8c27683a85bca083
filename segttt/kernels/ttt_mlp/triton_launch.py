"""TTT-MLP on a GPU: what `reference` computes, by kernels."""

import torch
from torch import Tensor

from segttt.kernels.ttt_mlp.triton_answer import answer_kernel, loss_kernel
from segttt.kernels.ttt_mlp.triton_answer_backward import (
    direct_backward_kernel,
    mixed_backward_kernel,
)
from segttt.kernels.ttt_mlp.triton_learn import learn_kernel
from segttt.kernels.ttt_mlp.triton_learn_backward import learn_backward_kernel
from segttt.kernels.ttt_mlp.triton_tune import ROOM, Kernel, Plan, plan, ways


def forward(
    sequences: tuple[Tensor, ...],
    inner: tuple[Tensor, ...],
    norm: tuple[Tensor, Tensor],
    eps: float,
    causal: bool,
    backwards: list[bool] | None,
    *,
    keep: bool,
    measure: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The output, the states where to `keep` and the losses where to `measure`, as in `op`."""
    call = _Call(sequences, norm, eps, inner[1].shape[1], backwards)
    b, h, _, d = call.q.shape
    state = 2 * d * call.wide + d + call.wide
    room = call.batches if keep else min(call.batches, max(1, ROOM // (b * h * state)))
    states = tuple(_states(W, bias, room + 1, b) for W, bias in (inner[:2], inner[2:]))
    out = torch.empty_like(call.q)
    losses = call.empty(b, h, call.batches, 2) if measure else call.empty(0)
    with torch.cuda.device_of(call.q):
        for begin in range(0, call.batches, room):
            count = min(room, call.batches - begin)
            sizes = (*call.sizes, begin, count)
            learn = (call.k, call.v, call.lr, call.rho, call.gamma, call.beta, call.ways, *states)
            learn_kernel[(b * h,)](*learn, *sizes, **call.constants("learn"))
            answer = (call.q, *learn, out)
            answer_kernel[(b * h * count,)](
                *answer, *sizes, CAUSAL=causal, **call.constants("answer")
            )
            if measure:
                loss = (call.k, call.v, call.gamma, call.beta, call.ways, *states, losses)
                loss_kernel[(b * h * count * 2,)](
                    *loss, *sizes, call.batches, **call.constants("loss")
                )
            if not keep:
                for one in states:
                    one[0] = one[count]
    stop = call.batches + (not causal) if keep else 0
    first, second = (one[:stop] if keep else one.new_empty(0) for one in states)
    return out, first, second, losses


def backward(
    d_out: Tensor,
    states: tuple[Tensor, Tensor],
    sequences: tuple[Tensor, ...],
    norm: tuple[Tensor, Tensor],
    eps: float,
    causal: bool,
    backwards: list[bool] | None,
) -> list[Tensor]:
    """Gradients of the arguments q to beta of `ttt_mlp`, in float32."""
    call = _Call(sequences, norm, eps, states[0].shape[-1], backwards)
    grads = _Gradients(call)
    d_out = d_out.contiguous()
    (b, h, _, d), t, wide = call.q.shape, call.t, call.wide
    asked = 2 * t * (wide + d) + 2 * d * wide + d + wide
    room = min(call.batches, max(1, ROOM // (b * h * asked)))
    with torch.cuda.device_of(call.q):
        for begin in reversed(range(0, call.batches, room)):
            count = min(room, call.batches - begin)
            here = tuple(one[begin:] for one in states)
            _backward_group(call, grads, d_out, here, begin, count, causal)
    return grads.results(len(sequences[4]))


class _Call:
    """The tensors and numbers that all launches of one call share."""

    def __init__(
        self,
        sequences: tuple[Tensor, ...],
        norm: tuple[Tensor, Tensor],
        eps: float,
        wide: int,
        backwards: list[bool] | None,
    ):
        self.q, self.k, self.v, self.lr, self.rho = (one.contiguous() for one in sequences)
        self.gamma, self.beta = (one.contiguous() for one in norm)
        _, h, n, _ = self.q.shape
        self.t, self.wide = min(n, len(self.rho)), wide
        self.batches = -(-n // self.t)
        self.ways = ways(backwards, h, self.q.device)
        self.turned = backwards is not None and any(backwards)
        self.sizes = (n, h, self.t, eps)
        self.plan: Plan = plan(self.q, self.t, wide)

    def constants(self, kernel: Kernel) -> dict:
        return {**self.plan.constants(kernel), "TURNED": self.turned}

    def empty(self, *shape: int) -> Tensor:
        return self.q.new_empty(shape, dtype=torch.float32)

    def zeros(self, *shape: int) -> Tensor:
        return self.q.new_zeros(shape, dtype=torch.float32)


class _Gradients:
    """What the launches of a backward pass write, and add to."""

    def __init__(self, call: _Call):
        b, h, n, d = call.q.shape
        self.q, self.k, self.v = (call.empty(b, h, n, d) for _ in range(3))
        self.lr = call.empty(b, h, n)
        self.rho, self.gamma, self.beta = (call.zeros(b, h, s) for s in (call.t, d, d))
        self.first = call.zeros(b, h, d + 1, call.wide)
        self.second = call.zeros(b, h, call.wide + 1, d)

    def results(self, tokens: int) -> list[Tensor]:
        rho = self.rho.new_zeros(tokens)
        rho[: self.rho.shape[2]] = self.rho.sum((0, 1))
        inner = (
            self.first[..., :-1, :].sum(0),
            self.first[..., -1, :].sum(0),
            self.second[..., :-1, :].sum(0),
            self.second[..., -1, :].sum(0),
        )
        norm = self.gamma.sum(0), self.beta.sum(0)
        return [self.q, self.k, self.v, self.lr, rho, *inner, *norm]


def _backward_group(
    call: _Call,
    grads: _Gradients,
    d_out: Tensor,
    states: tuple[Tensor, ...],
    begin: int,
    count: int,
    causal: bool,
) -> None:
    """Through the mini-batches from `begin` on, given the gradients of the states after them."""
    (b, h, _, d), t, wide = call.q.shape, call.t, call.wide
    sizes = (*call.sizes, begin, count)
    room = (b, h, count)
    z2, d_slope2 = (call.empty(*room, t, d) for _ in range(2))
    d_features, d_slope1 = (call.empty(*room, t, wide) for _ in range(2))
    asked = call.empty(*room, d + 1, wide), call.empty(*room, wide + 1, d)
    d_gamma, d_beta = (call.empty(*room, d) for _ in range(2))
    learned = (call.k, call.v, call.lr, call.rho, call.gamma, call.beta, call.ways, *states)
    between = (z2, d_features, d_slope1, d_slope2, *asked)
    if causal:
        d_rho = call.empty(*room, t)
        mixed = (d_out, grads.q, grads.k, grads.lr, d_rho, d_gamma, d_beta)
        mixed_backward_kernel[(b * h * count,)](
            call.q, *learned, *mixed, *between, *sizes, **call.constants("mixed_backward")
        )
        grads.rho += d_rho.sum(2)
    else:
        direct = (call.q, call.k, call.gamma, call.beta, call.ways, *states, d_out)
        direct_backward_kernel[(b * h * count,)](
            *direct,
            grads.q,
            d_gamma,
            d_beta,
            z2,
            *asked,
            *sizes,
            **call.constants("direct_backward"),
        )
    grads.gamma += d_gamma.sum(2)
    grads.beta += d_beta.sum(2)
    into = (grads.first, grads.second, grads.k, grads.v, grads.lr)
    learn_backward_kernel[(b * h,)](
        *learned,
        *between,
        *into,
        grads.rho,
        grads.gamma,
        grads.beta,
        *sizes,
        CAUSAL=causal,
        **call.constants("learn_backward"),
    )


def _states(W: Tensor, bias: Tensor, room: int, samples: int) -> Tensor:
    """States [room, b, h, rows, columns], of which the first is [W; bias]."""
    initial = torch.cat([W, bias[:, None]], 1).float()
    states = initial.new_empty(room, samples, *initial.shape)
    states[0] = initial
    return states
