"""TTT-MLP on a GPU: what `reference` computes, by kernels."""

from collections.abc import Iterator

import torch
from torch import Tensor

from segttt.kernels.ttt_mlp.triton_answer import answer_kernel
from segttt.kernels.ttt_mlp.triton_inner import inner_kernel, loss_kernel
from segttt.kernels.ttt_mlp.triton_learn import learn_kernel
from segttt.kernels.ttt_mlp.triton_learn_backward import learn_backward_kernel
from segttt.kernels.ttt_mlp.triton_outer import queries_backward_kernel
from segttt.kernels.ttt_mlp.triton_taught import (
    keys_backward_kernel,
    tokens_backward_kernel,
    weights_backward_kernel,
)
from segttt.kernels.ttt_mlp.triton_tune import ROOM, Kernel, Plan, plan, ways

States = tuple[Tensor, ...]


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
    call = _Call(sequences, norm, eps, inner[1].shape[1], backwards, causal)
    numbers = call.between(matrices=3, rows=2, squares=1) if causal else 0
    room = call.room(numbers + (0 if keep else call.state))
    slots = call.batches if keep else room
    states = tuple(_states(W, bias, slots + 1, len(call.q)) for W, bias in (inner[:2], inner[2:]))
    out = torch.empty_like(call.q)
    losses = call.empty(*call.heads, call.batches, 2) if measure else call.empty(0)
    learn = (call.k, call.v, call.lr, call.rho, call.gamma, call.beta, call.ways)
    with torch.cuda.device_of(call.q):
        for begin, count in call.groups(room):
            here = tuple(one[begin if keep else 0 :] for one in states)
            call.launch(learn_kernel, "learn", 1, (*learn, *here), begin, count)
            call.answer(here, out, begin, count)
            if measure:
                losses[:, :, begin : begin + count] = call.losses(here, begin, count)
            if not keep:
                for one in states:
                    one[0] = one[count]
    stop = call.batches + (not causal) if keep else 0
    first, second = (one[:stop] if keep else one.new_empty(0) for one in states)
    return out, first, second, losses


def backward(
    d_out: Tensor,
    states: States,
    sequences: tuple[Tensor, ...],
    norm: tuple[Tensor, Tensor],
    eps: float,
    causal: bool,
    backwards: list[bool] | None,
) -> list[Tensor]:
    """Gradients of the arguments q to beta of `ttt_mlp`, in float32."""
    call = _Call(sequences, norm, eps, states[0].shape[-1], backwards, causal)
    grads = _Gradients(call)
    d_out = d_out.contiguous()
    numbers = call.between(matrices=6, rows=4, squares=4 if causal else 0)
    groups = list(call.groups(call.room(numbers + call.state)))
    with torch.cuda.device_of(call.q):
        for begin, count in reversed(groups):
            here = tuple(one[begin:] for one in states)
            _backward_group(call, grads, d_out, here, begin, count)
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
        causal: bool,
    ):
        self.q, self.k, self.v, self.lr, self.rho = (one.contiguous() for one in sequences)
        self.gamma, self.beta = (one.contiguous() for one in norm)
        b, h, n, d = self.q.shape
        self.heads, self.causal, self.wide = (b, h), causal, wide
        self.t = min(n, len(self.rho))
        self.batches = -(-n // self.t)
        self.state = 2 * d * wide + d + wide
        self.ways = ways(backwards, h, self.q.device)
        self.turned = backwards is not None and any(backwards)
        self.sizes, self.eps = (n, h, self.t), eps
        self.plan: Plan = plan(self.q, self.t, wide)

    def between(self, matrices: int, rows: int, squares: int) -> int:
        """Numbers of one mini-batch in so many T x W, T x d and T x T matrices."""
        t, d = self.plan.rows, self.plan.d
        return t * (matrices * self.wide + rows * d + squares * t)

    def room(self, numbers: int) -> int:
        """Mini-batches that may be served together, if one takes that many numbers per head."""
        if not numbers:
            return self.batches
        return min(self.batches, max(1, ROOM // (self.heads[0] * self.heads[1] * numbers)))

    def groups(self, room: int) -> Iterator[tuple[int, int]]:
        """The first and the number of mini-batches that are served together."""
        for begin in range(0, self.batches, room):
            yield begin, min(room, self.batches - begin)

    def launch(
        self, kernel, name: Kernel, each: int, given: tuple, begin: int, count: int, **how: bool
    ) -> None:
        """Run `each` programs per sample and head."""
        eps = (self.eps,) if "eps" in kernel.arg_names else ()
        kernel[(self.heads[0] * self.heads[1] * each,)](
            *given,
            *self.sizes,
            *eps,
            begin,
            count,
            TURNED=self.turned,
            **how,
            **self.plan.constants(name),
        )

    def inner(self, states: States, begin: int, count: int) -> tuple[Tensor, ...]:
        """Z2, G2, X and G1 of the mini-batches."""
        found = (*self.matrices(2, count, self.plan.d), *self.matrices(2, count, self.wide))
        given = (self.k, self.v, self.gamma, self.beta, self.ways, *states, *found)
        each = count * self.plan.blocks("inner")
        self.launch(inner_kernel, "inner", each, given, begin, count)
        return found

    def answer(self, states: States, out: Tensor, begin: int, count: int) -> None:
        """Write the outputs of the mini-batches."""
        nothing = self.empty(0)
        taught, alike = (nothing,) * 3, nothing
        hidden = nothing
        if self.causal:
            taught = self.inner(states, begin, count)[1:]
            (hidden,) = self.matrices(1, count, self.wide)
            (alike,) = self.matrices(1, count, self.plan.rows)
        given = (*self.asking, *states, *taught, hidden, alike, nothing, out)
        self.launch_answer(given, begin, count, again=False)

    @property
    def asking(self) -> tuple[Tensor, ...]:
        return self.q, self.k, self.lr, self.rho, self.gamma, self.beta, self.ways

    def launch_answer(self, given: tuple, begin: int, count: int, *, again: bool) -> None:
        how = {"CAUSAL": self.causal, "AGAIN": again}
        each = count * self.plan.blocks("answer")
        self.launch(answer_kernel, "answer", each, given, begin, count, **how)

    def losses(self, states: States, begin: int, count: int) -> Tensor:
        """Of the mini-batches, mean over their tokens, [b, h, count, 2]."""
        blocks = self.plan.blocks("loss")
        sums = self.empty(*self.heads, count, blocks, 2)
        given = (self.k, self.v, self.gamma, self.beta, self.ways, *states, sums)
        self.launch(loss_kernel, "loss", count * blocks * 2, given, begin, count)
        tokens = self.q.new_full((count, 1), self.t, dtype=torch.float32)
        if begin + count == self.batches:
            tokens[-1] = self.sizes[0] - (self.batches - 1) * self.t
        return sums.sum(3) / tokens

    def matrices(self, number: int, count: int, columns: int) -> tuple[Tensor, ...]:
        """Fresh ones with as many rows as the kernels give a mini-batch."""
        shape = (*self.heads, count, self.plan.rows, columns)
        return tuple(self.empty(*shape) for _ in range(number))

    def empty(self, *shape: int) -> Tensor:
        return self.q.new_empty(shape, dtype=torch.float32)

    def zeros(self, *shape: int) -> Tensor:
        return self.q.new_zeros(shape, dtype=torch.float32)


class _Gradients:
    """What the launches of a backward pass write, and add to."""

    def __init__(self, call: _Call):
        (b, h), d = call.heads, call.plan.d
        self.q, self.k, self.v = (call.empty(*call.q.shape) for _ in range(3))
        self.lr = call.empty(*call.lr.shape)
        self.rho, self.norm = call.zeros(call.t), call.zeros(h, 2, d)
        self.first = call.zeros(b, h, d + 1, call.wide)
        self.second = call.zeros(b, h, call.wide + 1, d)

    def results(self, tokens: int) -> list[Tensor]:
        rho = self.rho.new_zeros(tokens)
        rho[: len(self.rho)] = self.rho
        first, second = self.first.sum(0), self.second.sum(0)
        inner = first[:, :-1], first[:, -1], second[:, :-1], second[:, -1]
        parts = (one.clone() for one in (*inner, *self.norm.unbind(1)))
        return [self.q, self.k, self.v, self.lr, rho, *parts]


def _backward_group(
    call: _Call, grads: _Gradients, d_out: Tensor, states: States, begin: int, count: int
) -> None:
    """Through the mini-batches from `begin` on, given the gradients of the states after them."""
    d, wide, part = call.plan.d, call.wide, (begin, count)
    z2, slope2, features, slope1 = call.inner(states, *part)
    hidden, d_hidden, d_features, d_slope1 = call.matrices(4, count, wide)
    answer, d_slope2 = call.matrices(2, count, d)
    squares = call.matrices(4, count, call.plan.rows if call.causal else 0)
    alike, d_mixing = squares[:2], squares[2:]
    given = (*call.asking, *states, slope2, features, slope1, hidden, *alike, answer)
    call.launch_answer(given, *part, again=True)

    blocks = call.plan.blocks("queries_backward")
    d_rho = call.empty(*call.heads, count, call.plan.rows)
    d_norm = call.empty(*call.heads, count * blocks, 2, d)
    given = (d_out, call.k, call.lr, call.rho, call.gamma, call.ways, *states, slope2, features)
    given += (slope1, hidden, *alike, answer, d_hidden, *d_mixing, grads.q, d_rho, d_norm)
    how = {"CAUSAL": call.causal}
    call.launch(queries_backward_kernel, "queries_backward", count * blocks, given, *part, **how)
    grads.norm += d_norm.sum((0, 2))
    if call.causal:
        grads.rho += d_rho.sum((0, 1, 2))[: call.t]
        given = (call.q, call.lr, call.rho, call.ways, hidden, *alike, answer, d_hidden, *d_mixing)
        given += (d_features, d_slope1, d_slope2, grads.k, grads.lr)
        each = count * call.plan.blocks("keys_backward")
        call.launch(keys_backward_kernel, "keys_backward", each, given, *part)

    asked = _asked(call, grads, count)
    given = (call.q, call.ways, hidden, answer, d_hidden, *asked)
    each = count * call.plan.tiles("weights_backward")
    call.launch(weights_backward_kernel, "weights_backward", each, given, *part, **how)
    learned = (call.k, call.v, call.lr, call.rho, call.gamma, call.beta, call.ways, *states)
    given = (*learned, z2, d_features, d_slope1, d_slope2, *asked)
    call.launch(learn_backward_kernel, "learn_backward", 1, given, *part, **how)
    grads.first, grads.second = (one[:, :, 0] for one in asked)

    blocks = call.plan.blocks("tokens_backward")
    d_last = call.empty(*call.heads, count, blocks)
    d_norm = call.empty(*call.heads, count * blocks, 2, d)
    given = (*learned, z2, slope2, features, slope1, d_features, d_slope2, *asked)
    given += (grads.k, grads.v, grads.lr, d_last, d_norm)
    call.launch(tokens_backward_kernel, "tokens_backward", count * blocks, given, *part, **how)
    grads.norm += d_norm.sum((0, 2))
    _add_last(call, grads.rho, d_last, begin + count == call.batches)


def _asked(call: _Call, grads: _Gradients, count: int) -> States:
    """Gradients of the states before each mini-batch, zero so far, and of the one after them."""
    asked = []
    for after in (grads.first, grads.second):
        room = call.zeros(*call.heads, count + 1, *after.shape[2:])
        room[:, :, count] = after
        asked.append(room)
    return tuple(asked)


def _add_last(call: _Call, d_rho: Tensor, d_last: Tensor, ends: bool) -> None:
    """Add the gradients of rho at the last token of each mini-batch, which may be short."""
    whole = d_last[:, :, :-1] if ends else d_last
    d_rho[call.t - 1] += whole.sum()
    if ends:
        d_rho[(call.sizes[0] - 1) % call.t] += d_last[:, :, -1].sum()


def _states(W: Tensor, bias: Tensor, room: int, samples: int) -> Tensor:
    """States [room, b, h, rows, columns], of which the first is [W; bias]."""
    initial = torch.cat([W, bias[:, None]], 1).float()
    states = initial.new_empty(room, samples, *initial.shape)
    states[0] = initial
    return states
