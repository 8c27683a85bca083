"""Rotary positions: the angles by which pairs of channels are turned."""

from functools import cache

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from segttt.kernels.lasting import lasting

BASE = 10_000.0


@cache
def phases(t: int, d: int, dtype: torch.dtype, device: torch.device) -> Complex[Tensor, "t pairs"]:
    """exp(i p BASE^(-2c/d)) at position p of a mini-batch for channels 2c and 2c + 1.

    A pair of channels is a complex number, and this is what turns it. `dtype` is complex. Made once
    per shape, in float64. Source: arXiv 2104.09864, equation 34.
    """
    return lasting(lambda: _exact(t, d).to(dtype).to(device))


@cache
def turns(t: int, d: int, device: torch.device) -> Float[Tensor, "2 t pairs"]:
    """Their cosines and sines in float32, for kernels that know no complex numbers."""
    exact = _exact(t, d)
    return lasting(lambda: torch.stack([exact.real, exact.imag]).float().to(device))


def _exact(t: int, d: int) -> Complex[Tensor, "t pairs"]:
    there = {"dtype": torch.float64, "device": "cpu"}
    angle = torch.arange(t, **there)[:, None] * BASE ** (-torch.arange(0, d, 2, **there) / d)
    return torch.polar(torch.ones_like(angle), angle)
