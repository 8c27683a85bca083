"""The selective scan on the CPU in compiled loops, forward and backward.

The state is float32; arguments in half precision are widened as a whole. Rows and blocks of
channels are shared out among as many threads as PyTorch uses. Every sum is taken in one order, so
that equal calls give equal bits, whatever the number of threads.

The first call on a processor compiles: 2 s of one core for `forward`, 3 s for `backward`;
`../numba_cache.py` keeps the result on disk.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from segttt.kernels.selective_scan import numba_loops
from segttt.kernels.selective_scan.cpu import CHUNK, Inputs
from segttt.kernels.threads import share


def forward(
    inputs: Inputs, backwards: Sequence[bool], dtype: torch.dtype
) -> tuple[Float[Tensor, "b g n d"], Float[Tensor, "m b g s d"]]:
    """The output in `dtype`, and the state in which each of m chunks of `CHUNK` tokens is entered.

    The meaning of all is that of `cpu.forward`.
    """
    given = _plain(inputs)
    b, g, n, d = given.u.shape
    out = torch.empty(b, g, n, d)
    starts = torch.empty(-(-n // CHUNK), b, g, given.A.shape[1], d)
    rest = (np.array(backwards), _arrays(given), out.numpy(), starts.numpy())
    share(_tasks(given), lambda part: numba_loops.forward(part, *rest))
    return out.to(dtype), starts


def backward(
    d_out: Float[Tensor, "b g n d"],
    starts: Float[Tensor, "m b g s d"],
    inputs: Inputs,
    backwards: Sequence[bool],
) -> Inputs:
    """Gradients of `forward`, each in the dtype of its argument, given the states it returned."""
    given = _plain(inputs)
    b, g, n, d = given.u.shape
    s, blocks = given.A.shape[1], -(-d // numba_loops.BLOCK)
    shapes = [(b, g, n, d)] * 2 + [(b, g, s, d)] + [(blocks, b, g, n, s)] * 2 + [(b, g, d)] * 2
    grads = Inputs(*map(torch.empty, shapes))
    rest = (d_out.float().contiguous().numpy(), starts.contiguous().numpy())
    arrays = (np.array(backwards), *rest, _arrays(given), _arrays(grads))
    share(_tasks(given), lambda part: numba_loops.backward(part, *arrays))
    u, dt, A, B, C, D, bias = grads
    sums = Inputs(u, dt, A.mT.sum(0), B.sum(0), C.sum(0), D.sum(0), bias.sum(0))
    return Inputs(*(x.to(like.dtype) for x, like in zip(sums, inputs, strict=True)))


def _plain(inputs: Inputs) -> Inputs:
    """Float32 and contiguous; A as [g, s, d]."""
    turned = inputs._replace(A=inputs.A.mT)
    return Inputs(*(x.detach().float().contiguous() for x in turned))


def _arrays(inputs: Inputs) -> tuple[np.ndarray, ...]:
    return tuple(x.numpy() for x in inputs)


def _tasks(given: Inputs) -> int:
    b, g, _, d = given.u.shape
    return b * g * -(-d // numba_loops.BLOCK)
