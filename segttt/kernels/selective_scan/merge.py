"""The results of several scans of the same tokens joined to one, and gated."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def forward(
    y: Float[Tensor, "b g n d"], merge: str, z: Float[Tensor, "b n d"] | None, dtype: torch.dtype
) -> tuple[Float[Tensor, "b *scans n d"], Float[Tensor, "*tokens"]]:
    """The result in `dtype`, and what the gate has multiplied, which is empty without a gate."""
    if merge == "none":
        return y.to(dtype), y.new_empty(0, dtype=dtype)
    merged = y[:, 0] if y.shape[1] == 1 else y.sum(1) if merge == "sum" else y.mean(1)
    if z is None:
        return merged.to(dtype), y.new_empty(0, dtype=dtype)
    return (merged * F.silu(z.to(y.dtype))).to(dtype), merged.to(dtype)


def backward(
    d_out: Float[Tensor, "b *scans n d"],
    merged: Float[Tensor, "*tokens"],
    merge: str,
    z: Float[Tensor, "b n d"] | None,
    scans: int,
) -> tuple[Float[Tensor, "b g n d"], Float[Tensor, "b n d"] | None]:
    """Gradients of y, in float32 or better behind a gate, and of z in its dtype."""
    if merge == "none":
        return d_out, None
    d_merged, d_z = d_out, None
    if z is not None:
        kind = torch.promote_types(d_out.dtype, torch.float32)
        wide, d_wide = z.to(kind), d_out.to(kind)
        d_merged = d_wide * F.silu(wide)
        d_z = torch.ops.aten.silu_backward(d_wide * merged.to(kind), wide).to(z.dtype)
    if merge == "mean":
        d_merged = d_merged / scans
    return d_merged[:, None].expand(-1, scans, -1, -1), d_z
