"""How the parameters of a selective state-space layer start. Source: arXiv 2312.00752, 3.6."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

SHORTEST_STEP, LONGEST_STEP = 1e-3, 1e-1


def step_bias(shape: tuple[int, ...]) -> Float[Tensor, "*shape"]:
    """Values whose softplus is spread over [0.001, 0.1], evenly in its logarithm.

    The published floor of 0.0001 lies below that interval, so it changes nothing.
    """
    shortest, longest = math.log(SHORTEST_STEP), math.log(LONGEST_STEP)
    step = torch.exp(shortest + (longest - shortest) * torch.rand(shape))
    return step + torch.log(-torch.expm1(-step))


def state_matrix_log(channels: int, states: int) -> Float[Tensor, "channels states"]:
    """log(1), ..., log(states) for every channel: the matrix A is minus its exponential."""
    return torch.arange(1.0, states + 1).log().repeat(channels, 1)
