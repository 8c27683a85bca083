"""The selective scan token by token, differentiable by autograd; this is its definition."""

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
) -> Float[Tensor, "b g n d"]:
    """y_t = <C_t, h_t> + D u_t, where h_t = exp(delta_t A) h_{t-1} + delta_t u_t B_t.

    delta = softplus(dt + dt_bias); h has s states per channel and starts at zero. Computed in
    float32, or float64 where u is. Source: arXiv 2312.00752, equation 2 and algorithm 2.
    """
    kind = torch.promote_types(u.dtype, torch.float32)
    u_, dt, A, B, C, D, dt_bias = (x.to(kind) for x in (u, dt, A, B, C, D, dt_bias))
    delta = F.softplus(dt + dt_bias[:, None])
    state, outs = torch.zeros_like(A), []
    for at, step, enter, leave in zip(*(x.unbind(2) for x in (u_, delta, B, C)), strict=True):
        decay = torch.exp(step[..., None] * A)
        state = decay * state + (step * at)[..., None] * enter[..., None, :]
        outs.append((state * leave[..., None, :]).sum(-1) + D * at)
    return torch.stack(outs, 2).to(u.dtype)
