"""Whether a GPU kernel serves a TTT-MLP of given sizes."""

import torch
from torch import Tensor

LONGEST = 1024
"""Tokens in a mini-batch. The kernels keep what its tokens see of each other, t x t numbers."""

WIDEST = 128
"""Channels of a head. Beyond, a block of tokens alone fills the registers of a program."""

LIMITS = f"heads of up to {WIDEST} channels, mini-batches of up to {LONGEST} tokens"


def supported(d: int, t: int, kind: torch.dtype) -> str | None:
    """Why no GPU kernel serves heads of d channels in mini-batches of t tokens, or None."""
    if kind == torch.float64:
        return "the kernels compute in float32"
    if t > LONGEST:
        return f"the kernels take mini-batches of up to {LONGEST} tokens, not {t}"
    if d > WIDEST:
        return f"the kernels take heads of up to {WIDEST} channels, not {d}"
    return None


def unsuited(q: Tensor, rho: Tensor) -> str | None:
    """Why no GPU kernel serves these queries and position scales, or None."""
    return supported(q.shape[3], min(q.shape[2], len(rho)), q.dtype)
