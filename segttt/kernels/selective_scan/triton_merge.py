"""The gradient of a gate behind merged scans, on a GPU: both factors' in one pass."""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from segttt.kernels.selective_scan.triton_split import rows_contiguous
from segttt.kernels.selective_scan.triton_steps import sigmoid
from segttt.kernels.selective_scan.triton_tune import TILE, TILE_WARPS


@triton.jit
@no_type_check
def gate_kernel(
    d_out, merged, z, d_merged, d_z, n, d, z_b, z_n, share, BN: tl.constexpr, BD: tl.constexpr
):
    """BN tokens and BD channels; all but z, which is strided, are contiguous [b, n, d]."""
    tiles = tl.cdiv(n, BN)
    sample = (tl.program_id(0) // tiles).to(tl.int64)
    tokens = (tl.program_id(0) % tiles) * BN + tl.arange(0, BN)
    channels = tl.program_id(1) * BD + tl.arange(0, BD)
    mask = (tokens < n)[:, None] & (channels < d)[None, :]
    place = (sample * n + tokens)[:, None] * d + channels[None, :]
    z_place = (sample * z_b + tokens.to(tl.int64) * z_n)[:, None] + channels[None, :]
    gate = tl.load(z + z_place, mask=mask, other=0.0).to(tl.float32)
    asked = tl.load(d_out + place, mask=mask, other=0.0).to(tl.float32)
    gated = tl.load(merged + place, mask=mask, other=0.0).to(tl.float32)
    opening = sigmoid(gate)
    tl.store(d_merged + place, asked * gate * opening * share, mask=mask)
    slope = opening * (1.0 + gate * (1.0 - opening))
    tl.store(d_z + place, (asked * gated * slope).to(d_z.dtype.element_ty), mask=mask)


def backward(
    d_out: Tensor, merged: Tensor, merge: str, z: Tensor | None, scans: int
) -> tuple[Tensor, Tensor | None]:
    """Gradients of the scans' results [b, g, n, d], equal for all, and of z."""
    if merge == "none":
        return d_out, None
    share = 1 / scans if merge == "mean" else 1.0
    if z is None:
        d_merged = d_out if share == 1 else d_out.float() * share
        return d_merged[:, None].expand(-1, scans, -1, -1), None
    (b, n, d), d_out, z = z.shape, d_out.contiguous(), rows_contiguous(z)
    d_z = torch.empty((b, n, d), dtype=z.dtype, device=z.device)
    d_merged = torch.empty((b, n, d), dtype=torch.float32, device=z.device)
    grid = (b * triton.cdiv(n, TILE["BN"]), triton.cdiv(d, TILE["BD"]))
    numbers = (n, d, *z.stride()[:2], share)
    gate_kernel[grid](d_out, merged, z, d_merged, d_z, *numbers, **TILE, num_warps=TILE_WARPS)
    return d_merged[:, None].expand(-1, scans, -1, -1), d_z
