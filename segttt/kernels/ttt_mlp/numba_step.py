"""TTT-MLP on the CPU in compiled loops, forward and backward.

All is as in `ttt_linear/numba_step.py`, for two states instead of one.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from segttt.kernels.numba_arguments import arrays, directions, positions
from segttt.kernels.threads import share
from segttt.kernels.ttt_mlp import numba_backward, numba_forward, numba_room
from segttt.kernels.ttt_mlp.passes import States
from segttt.kernels.ttt_mlp.reference import Gradients, Sequences


def forward(
    sequences: Sequences,
    inner: tuple[Tensor, Tensor, Tensor, Tensor],
    norm: tuple[Tensor, Tensor],
    eps: float,
    causal: bool,
    backwards: list[bool] | None,
    *,
    keep: bool,
    measure: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The output, where `keep` the states and where `measure` the losses; else there are none.

    `inner` is W1, b1, W2 and b2, `norm` gamma and beta. The meaning of all is that of
    `reference.forward` and `reference.losses`.
    """
    q, k, v, lr, rho = sequences
    W1, b1, W2, b2 = inner
    (b, h, n, d), wide = q.shape, W1.shape[2]
    t = min(n, len(rho))
    m = -(-n // t)
    initial = torch.cat([W1, b1[:, None]], 1), torch.cat([W2, b2[:, None]], 1)
    given = arrays((q, k, v, lr, positions(rho, t), *initial, *norm))
    out = torch.empty(b, h, n, d, dtype=torch.float32)
    kept = m + (not causal) if keep else 0
    first = torch.empty(kept, b, h, d + 1, wide, dtype=torch.float32)
    second = torch.empty(kept, b, h, wide + 1, d, dtype=torch.float32)
    losses = torch.empty(b, h, m if measure else 0, 2, dtype=torch.float32)
    form = (t, directions(backwards, h), causal, np.float32(eps))
    results = arrays((out, first, second, losses))
    share(
        b * h,
        lambda part: numba_forward.forward(
            part, *form, given, results, numba_room.forward_room(t, d, wide)
        ),
    )
    if not keep:
        first, second = out.new_empty(0), out.new_empty(0)
    return out.to(q.dtype), first, second, losses if measure else out.new_empty(0)


def backward(
    d_out: Tensor,
    states: States,
    sequences: Sequences,
    norm: tuple[Tensor, Tensor],
    eps: float,
    causal: bool,
    backwards: list[bool] | None,
) -> Gradients:
    """Gradients of `forward`, given its states."""
    q, k, v, lr, rho = sequences
    (b, h, n, d), wide = q.shape, states[0].shape[4]
    t = min(n, len(rho))
    scales = positions(rho, t)
    given = arrays((q, k, v, lr, scales, *states, *norm))
    shapes = [q.shape] * 3 + [lr.shape, (b, h, *scales.shape)]
    shapes += [(b, h, d + 1, wide), (b, h, wide + 1, d), (b, h, d), (b, h, d)]
    grads = [torch.empty(shape, dtype=torch.float32) for shape in shapes]
    form = (t, directions(backwards, h), causal, np.float32(eps))
    rest = (given, *arrays([d_out]), arrays(grads))
    share(
        b * h,
        lambda part: numba_backward.backward(
            part, *form, *rest, numba_room.backward_room(t, d, wide)
        ),
    )
    d_q, d_k, d_v, d_lr, *sums = grads
    d_first, d_second, d_gamma, d_beta = (one.sum(0) for one in sums[1:])
    return Gradients(
        q=d_q,
        k=d_k,
        v=d_v,
        lr=d_lr,
        rho=F.pad(sums[0].sum((0, 1)).flatten()[:t], (0, len(rho) - t)),
        W1=d_first[:, :-1].clone(),  # of one head, parts of a state would share its memory
        b1=d_first[:, -1].clone(),
        W2=d_second[:, :-1].clone(),
        b2=d_second[:, -1].clone(),
        gamma=d_gamma,
        beta=d_beta,
    )
