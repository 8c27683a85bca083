"""Whether a GPU kernel serves a TTT-MLP of given sizes."""

import torch
from torch import Tensor

LONGEST = 64
"""Tokens in a mini-batch. What its tokens see of each other is one tile of t x t numbers."""

WIDEST = 64
"""Channels of a head. Beyond, a mini-batch's tokens alone fill the registers of a program."""

SHARED_BYTES = 110_592
"""Shared memory of the largest kernel: over 32 tokens and 32 channels, in float32. Data centre GPUs
have it; others, with 101,376 bytes, do not."""

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
    d, t = q.shape[3], min(q.shape[2], len(rho))
    why = supported(d, t, q.dtype)
    if why is None and q.is_cuda and q.dtype == torch.float32 and min(d, t) > 32:
        shared = torch.cuda.get_device_properties(q.device).shared_memory_per_block_optin
        if shared < SHARED_BYTES:
            why = f"in float32 {d} channels and {t} tokens take more shared memory than there is"
    return why
