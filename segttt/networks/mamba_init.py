"""How the parameters of a selective state-space layer start. Source: arXiv 2312.00752, 3.6.

Numbers are made on the CPU: arithmetic on the meta device, where networks are only counted, imports
the compiler, which takes two seconds and 150 MB.
"""

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
    step = torch.exp(shortest + (longest - shortest) * torch.rand(shape, device="cpu"))
    return (step + torch.log(-torch.expm1(-step))).to(torch.get_default_device())


def state_matrix_log(shape: tuple[int, ...]) -> Float[Tensor, "*shape"]:
    """log(1), ..., log(states) along the last axis: the matrix A is minus its exponential."""
    row = torch.arange(1.0, shape[-1] + 1, device="cpu").log()
    return row.to(torch.get_default_device()).expand(shape).contiguous()
