"""A sequence of queries, keys and values, cut into the mini-batches of a TTT layer."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

GROUP_NUMBERS = 2**20
"""Numbers in a t x t or t x d matrix over all mini-batches of a group, 4 MB in float32, a dozen of
which live at once in a backward pass. On one core (t = 64, d = 32) TTT-Linear over 6,720 tokens of
16 heads goes back in 312 ms; with 2^22 it is 357 ms, without groups 371 ms."""


@dataclass(frozen=True)
class Chunks:
    """The sequence cut into m mini-batches of t tokens, mini-batches first."""

    queries: Tensor  # [m, b, h, t, d + 1], the last column is 1
    keys: Tensor  # [m, b, h, t, d + 1], the last column is 1
    targets: Tensor  # [m, b, h, t, d], what the inner model is to predict
    lr: Tensor  # [m, b, h, t]
    rho: Tensor  # [t]
    last: Tensor  # [m], position of the last real token within its mini-batch

    @property
    def step(self) -> Tensor:
        """Rate at which token i sees the inner gradient of token j <= i, [m, b, h, t, t]."""
        return (self.rho[:, None] * self.lr[..., None, :]).tril()

    @property
    def last_step(self) -> Tensor:
        """Rate at which the next mini-batch sees it, [m, b, h, t, 1]."""
        return (self.rho[self.last][:, None, None, None] * self.lr)[..., None]

    def groups(self) -> Iterator[tuple[slice, "Chunks"]]:
        """Runs of mini-batches, first to last, whose t x t matrices are small together."""
        m, b, h, t, d = self.targets.shape
        size = max(1, GROUP_NUMBERS // (b * h * t * max(t, d)))
        for start in range(0, m, size):
            yield slice(start, start + size), self._part(slice(start, start + size))

    def _part(self, run: slice) -> "Chunks":
        cuts = (self.queries[run], self.keys[run], self.targets[run], self.lr[run])
        return Chunks(*cuts, rho=self.rho, last=self.last[run])


def cut(
    q: Float[Tensor, "b h n d"],
    k: Float[Tensor, "b h n d"],
    v: Float[Tensor, "b h n d"],
    lr: Float[Tensor, "b h n"],
    rho: Float[Tensor, " t"],
) -> Chunks:
    """Cut into mini-batches of as many tokens as `rho` has, or of all where there are fewer."""
    size, length = min(len(rho), q.shape[2]), q.shape[2]
    starts = torch.arange(0, length, size, device=q.device)
    return Chunks(
        queries=F.pad(split(q, size), (0, 1), value=1.0),
        keys=F.pad(split(k, size), (0, 1), value=1.0),
        targets=split(v - k, size),
        lr=split(lr[..., None], size).squeeze(-1),
        rho=rho[:size],
        last=(length - 1 - starts).clamp(max=size - 1),
    )


def step_backward(
    chunks: Chunks,
    d_step: Float[Tensor, "m b h t t"] | None,
    d_last_step: Float[Tensor, "m b h t"],
) -> tuple[Float[Tensor, "m b h t"], Float[Tensor, " t"]]:
    """Gradients of lr and rho from those of their products; `d_step` is lower triangular."""
    d_lr = chunks.rho[chunks.last][:, None, None, None] * d_last_step
    d_last_rho = (chunks.lr * d_last_step).sum((1, 2, 3))[:, None]
    at = chunks.last[:, None] == torch.arange(len(chunks.rho), device=chunks.rho.device)
    d_rho = torch.where(at, d_last_rho, 0).sum(0)
    if d_step is None:
        return d_lr, d_rho
    d_lr = d_lr + (chunks.rho[:, None] * d_step).sum(-2)
    return d_lr, d_rho + (d_step @ chunks.lr[..., None]).sum((0, 1, 2, 4))


def mean_over_tokens(x: Float[Tensor, "m b h t"], chunks: Chunks) -> Float[Tensor, "b h m"]:
    """The mean over the real tokens of each mini-batch."""
    real = torch.arange(x.shape[-1], device=x.device) <= chunks.last[:, None]
    total = torch.where(real[:, None, None], x, 0).sum(-1)
    return (total / (chunks.last + 1)[:, None, None]).movedim(0, 2)


def turn(x: Float[Tensor, "b h n *rest"], backwards: list[bool] | None) -> Tensor:
    """Reverse the tokens of those heads that read from last to first; its own inverse."""
    if backwards is None or not any(backwards):
        return x
    turned = torch.tensor(backwards, device=x.device).view(-1, *(1 for _ in x.shape[2:]))
    return torch.where(turned, x.flip(2), x)


def split(x: Float[Tensor, "b h n d"], size: int) -> Float[Tensor, "m b h size d"]:
    """Mini-batches of `size` tokens; zeros fill the last one and teach nothing."""
    missing = -x.shape[2] % size
    return F.pad(x, (0, 0, 0, missing)).unflatten(2, (-1, size)).movedim(2, 0)


def join(x: Float[Tensor, "m b h size d"], length: int) -> Float[Tensor, "b h n d"]:
    """The inverse of `split`, for a sequence of `length` tokens."""
    return x.movedim(0, 2).flatten(2, 3)[:, :, :length]
