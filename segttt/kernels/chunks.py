"""A sequence of queries, keys and values, cut into the mini-batches of a TTT layer."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Chunks:
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


def cut(
    q: Float[Tensor, "b h n d"],
    k: Float[Tensor, "b h n d"],
    v: Float[Tensor, "b h n d"],
    lr: Float[Tensor, "b h n"],
    rho: Float[Tensor, " t"],
) -> Chunks:
    """Cut into mini-batches of as many tokens as `rho` has, or of all where there are fewer."""
    size = min(len(rho), q.shape[2])
    return Chunks(
        queries=F.pad(split(q, size), (0, 1), value=1.0),
        keys=F.pad(split(k, size), (0, 1), value=1.0),
        targets=split(v - k, size),
        lr=split(lr[..., None], size).squeeze(-1),
        rho=rho[:size],
    )


def step_backward(
    chunks: Chunks,
    d_step: Float[Tensor, "m b h t t"],
    d_last_step: Float[Tensor, "m b h t"],
) -> tuple[Float[Tensor, "m b h t"], Float[Tensor, " t"]]:
    """Gradients of lr and rho from those of their products; `d_step` is lower triangular."""
    d_lr = (chunks.rho[:, None] * d_step).sum(-2) + chunks.rho[-1] * d_last_step
    d_rho = (d_step @ chunks.lr[..., None]).sum((0, 1, 2, 4))
    return d_lr, torch.cat([d_rho[:-1], d_rho[-1:] + (chunks.lr * d_last_step).sum()])


def split(x: Float[Tensor, "b h n d"], size: int) -> Float[Tensor, "m b h size d"]:
    """Mini-batches of `size` tokens; zeros fill the last one and teach nothing."""
    missing = -x.shape[2] % size
    return F.pad(x, (0, 0, 0, missing)).unflatten(2, (-1, size)).movedim(2, 0)


def join(x: Float[Tensor, "m b h size d"], length: int) -> Float[Tensor, "b h n d"]:
    """The inverse of `split`, for a sequence of `length` tokens."""
    return x.movedim(0, 2).flatten(2, 3)[:, :, :length]
