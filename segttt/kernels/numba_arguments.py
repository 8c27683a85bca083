"""What the compiled loops of TTT layers are given: float32 arrays, and room to work in."""

from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from segttt.kernels.numba_lanes import LANES
from segttt.kernels.numba_products import BLOCK


def arrays(tensors: Iterable[Tensor]) -> tuple[np.ndarray, ...]:
    """Their numbers in float32, one after the other; those of half precision are widened."""
    return tuple(one.detach().float().contiguous().numpy() for one in tensors)


def positions(rho: Float[Tensor, " t"], size: int) -> Float[Tensor, "blocks 1 block"]:
    """The first `size` position scales in blocks of tokens, zeros behind them."""
    return F.pad(rho[:size], (0, -size % BLOCK)).view(-1, 1, BLOCK)


def directions(backwards: list[bool] | None, heads: int) -> np.ndarray:
    """Per head, whether it reads backwards."""
    return np.array([False] * heads if backwards is None else backwards)


def padded(channels: int) -> int:
    """Rows or columns that hold so many channels and their padding."""
    return -(-channels // LANES) * LANES


def blocks(tokens: int) -> int:
    """Blocks that hold so many tokens."""
    return -(-tokens // BLOCK)


def zeros(*shape: int) -> np.ndarray:
    """Float32 zeros, at a place that suits vectors."""
    return torch.zeros(shape, dtype=torch.float32).numpy()
