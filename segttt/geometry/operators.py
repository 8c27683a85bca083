"""Interpolation along one axis as a linear operator, and its product with a tensor.

The operators equal scipy.ndimage with the sample positions of skimage.transform.resize, without
anti-aliasing and with edges repeated, which is how nnU-Net resamples (Nature Methods 18, 203).
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

Order = Literal[0, 1, 3]

EDGE = 12  # voxels of repeated edge before the spline filter; its pole to the 12th is 1e-7
NEGLIGIBLE = 1e-9  # weights of the spline below this are cut, which makes the operator a band
BAND_ROWS = 32  # per product on a CPU: few enough to skip most zeros, enough to keep BLAS busy


@lru_cache(maxsize=256)
def operator(old: int, new: int, order: Order) -> Float32[Tensor, "new old"]:
    """The matrix that takes `old` samples of an axis to `new` ones; cached, not to be changed."""
    position = (np.arange(new) + 0.5) * (old / new) - 0.5
    if order == 3:
        return torch.from_numpy(_cubic(old, position).astype(np.float32))
    position = np.clip(position, 0, old - 1)
    rows, matrix = np.arange(new), np.zeros((new, old))
    if order == 0:
        matrix[rows, np.floor(position + 0.5).astype(int)] = 1
    else:
        below = np.floor(position).astype(int)
        above = np.minimum(below + 1, old - 1)
        matrix[rows, below] += 1 - (position - below)
        matrix[rows, above] += position - below
    return torch.from_numpy(matrix.astype(np.float32))


def _cubic(old: int, position: np.ndarray) -> np.ndarray:
    knots = _knots(np.pad(np.eye(old), ((EDGE, EDGE), (0, 0)), mode="edge"))
    first = np.floor(position + EDGE).astype(int) - 1
    t = (position + EDGE - first - 1)[:, None]
    weights = (
        (1 - t) ** 3 / 6,
        (3 * t**3 - 6 * t**2 + 4) / 6,
        (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6,
        t**3 / 6,
    )
    matrix = sum(weight * knots[first + tap] for tap, weight in enumerate(weights))
    return np.where(np.abs(matrix) < NEGLIGIBLE, 0, matrix)


def _knots(samples: np.ndarray) -> np.ndarray:
    """Coefficients along axis 0 of the cubic spline through the samples, mirrored at its ends.

    Solves (c[i-1] + 4 c[i] + c[i+1]) / 6 = s[i] by elimination; equals scipy's spline_filter1d,
    whose import takes longer than most predictions need until their first window.
    """
    size = len(samples)
    after, knots = np.empty(size), np.empty_like(samples)
    after[0], knots[0] = 0.5, 1.5 * samples[0]
    for i in range(1, size):
        before = 2.0 if i == size - 1 else 1.0
        pivot = 4 - before * after[i - 1]
        after[i] = 1 / pivot
        knots[i] = (6 * samples[i] - before * knots[i - 1]) / pivot
    for i in range(size - 2, -1, -1):
        knots[i] -= after[i] * knots[i + 1]
    return knots


@dataclass(frozen=True)
class Bands:
    """An operator without most of its zeros: products of rows with the samples that they use."""

    old: int
    new: int
    parts: tuple[tuple[slice, slice, Tensor], ...]
    """Rows, samples and weights."""
    straight: bool
    """Whether the operator leaves everything as it is."""


def bands(matrix: Float32[Tensor, "new old"], device: torch.device | None = None) -> Bands:
    """Cut an operator into bands, in that device's memory."""
    parts = []
    # A GPU multiplies with the zeros sooner than it starts another product.
    step = len(matrix) if device is not None and device.type == "cuda" else BAND_ROWS
    for first in range(0, len(matrix), step):
        rows = matrix[first : first + step]
        used = rows.any(dim=0).nonzero().flatten().tolist() or [0]
        span = slice(used[0], used[-1] + 1)
        weights = rows[:, span].contiguous()
        parts.append((slice(first, first + len(rows)), span, weights.to(device)))
    new, old = matrix.shape
    straight = new == old and torch.equal(matrix, torch.eye(new))
    return Bands(old, new, tuple(parts), straight)


@lru_cache(maxsize=256)
def banded(old: int, new: int, order: Order, device: torch.device) -> Bands:
    """`operator` as bands; cached, not to be changed."""
    return bands(operator(old, new, order), device)


def multiply(tensor: Float[Tensor, "*before"], axis: int, by: Bands) -> Float[Tensor, "*after"]:
    """Apply an operator along one axis; without gradients."""
    flat = tensor.flatten(0, axis - 1) if axis else tensor[None]
    flat = flat.flatten(2) if flat.ndim > 2 else flat[..., None]  # [outer, old, inner]
    outer, _, inner = flat.shape
    result = flat.new_empty(outer, by.new, inner)
    for rows, used, weights in by.parts:
        weights, part, target = weights.to(flat.dtype), flat[:, used], result[:, rows]
        if inner == 1:  # the transposed product runs over long rows instead
            torch.mm(part[..., 0], weights.T, out=target[..., 0])
        elif outer == 1:
            torch.mm(weights, part[0], out=target[0])
        else:
            torch.bmm(weights.expand(outer, *weights.shape), part, out=target)
    return result.reshape(*tensor.shape[:axis], by.new, *tensor.shape[axis + 1 :])
