"""TTT-Linear on the CPU in compiled loops, forward and backward.

The state is float32; arguments in half precision are widened as a whole. Samples and heads are
shared out among as many threads as PyTorch uses. Every sum is taken in one order, so that equal
calls give equal bits, whatever the number of threads.
"""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from segttt.kernels.numba_arguments import arrays, directions, positions
from segttt.kernels.threads import share
from segttt.kernels.ttt_linear import numba_backward, numba_forward, numba_room
from segttt.kernels.ttt_linear.reference import Gradients


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
    keep: bool = True,
    measure: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """The output, where `keep` the states and where `measure` the losses; else there are none.

    The meaning of all is that of `reference.forward` and `reference.losses`.
    """
    b, h, n, d = q.shape
    t = min(n, len(rho))
    m = -(-n // t)
    kept = m + (not causal) if keep else 0
    initial = torch.cat([W0, b0[:, None]], 1)
    given = arrays((q, k, v, lr, positions(rho, t), initial, gamma, beta))
    out = torch.empty(b, h, n, d, dtype=torch.float32)
    states = torch.empty(kept, b, h, d + 1, d, dtype=torch.float32)
    losses = torch.empty(b, h, m if measure else 0, 2, dtype=torch.float32)
    form = (t, directions(backwards, h), causal, np.float32(eps))
    results = arrays((out, states, losses))
    share(
        b * h,
        lambda part: numba_forward.forward(
            part, *form, given, results, numba_room.forward_room(t, d)
        ),
    )
    if not keep:
        states = out.new_empty(0)
    return out.to(q.dtype), states, losses if measure else out.new_empty(0)


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
    """Gradients of `forward`, given its `states` and its first five arguments, `sequences`."""
    q, k, v, lr, rho = sequences
    b, h, n, d = q.shape
    t = min(n, len(rho))
    scales = positions(rho, t)
    given = arrays((q, k, v, lr, scales, states, gamma, beta))
    shapes = [q.shape] * 3 + [lr.shape, (b, h, *scales.shape), (b, h, d + 1, d)] + [(b, h, d)] * 2
    grads = [torch.empty(shape, dtype=torch.float32) for shape in shapes]
    form = (t, directions(backwards, h), causal, np.float32(eps))
    rest = (given, *arrays([d_out]), arrays(grads))
    share(
        b * h,
        lambda part: numba_backward.backward(part, *form, *rest, numba_room.backward_room(t, d)),
    )
    d_q, d_k, d_v, d_lr, *sums = grads
    d_rho = sums[0].sum((0, 1)).flatten()[:t]
    d_initial, d_gamma, d_beta = (one.sum(0) for one in sums[1:])
    return Gradients(
        q=d_q,
        k=d_k,
        v=d_v,
        lr=d_lr,
        rho=F.pad(d_rho, (0, len(rho) - t)),
        W0=d_initial[:, :-1].clone(),  # of one head, parts of a state would share its memory
        b0=d_initial[:, -1].clone(),
        gamma=d_gamma,
        beta=d_beta,
    )
