"""The selective scan token by token, differentiable by autograd; this is its definition."""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def selective_scan(
    u: Float[Tensor, "b g n d"],
    dt: Float[Tensor, "b g n d"],
    A: Float[Tensor, "g d s"],
    B: Float[Tensor, "b g n s"],
    C: Float[Tensor, "b g n s"],
    D: Float[Tensor, "g d"],
    dt_bias: Float[Tensor, "g d"],
    *,
    backwards: list[bool] | None = None,
    merge: Literal["none", "sum", "mean"] = "none",
    z: Float[Tensor, "b n d"] | None = None,
) -> Float[Tensor, "b *scans n d"]:
    """y_t = <C_t, h_t> + D u_t, where h_t = exp(delta_t A) h_{t-1} + delta_t u_t B_t.

    delta = softplus(dt + dt_bias); h has s states per channel and starts at zero. A scan marked in
    `backwards` goes from the last token to the first. `merge` joins the g scans to [b, n, d], and
    then `z` gates them by silu(z). Computed in float32, or float64 where u is.
    Source: arXiv 2312.00752, equation 2 and algorithm 2.
    """
    backwards = backwards or [False] * u.shape[1]
    kind = torch.promote_types(u.dtype, torch.float32)
    u_, dt, A, B, C, D, dt_bias = (x.to(kind) for x in (u, dt, A, B, C, D, dt_bias))
    u_, dt, B, C = (_turned(x, backwards) for x in (u_, dt, B, C))
    delta = F.softplus(dt + dt_bias[:, None])
    state, outs = torch.zeros_like(A), []
    for at, step, enter, leave in zip(*(x.unbind(2) for x in (u_, delta, B, C)), strict=True):
        decay = torch.exp(step[..., None] * A)
        state = decay * state + (step * at)[..., None] * enter[..., None, :]
        outs.append((state * leave[..., None, :]).sum(-1) + D * at)
    y = _turned(torch.stack(outs, 2), backwards)
    if merge == "none":
        return y.to(u.dtype)
    merged = y.sum(1) if merge == "sum" else y.mean(1)
    return (merged if z is None else merged * F.silu(z.to(kind))).to(u.dtype)


def _turned(x: Tensor, backwards: list[bool]) -> Tensor:
    """Reverse the tokens of the marked scans; its own inverse."""
    scans = zip(x.unbind(1), backwards, strict=True)
    return torch.stack([one.flip(1) if back else one for one, back in scans], 1)
