"""The probabilities of classes on another grid, and how uncertain they are."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Integer
from torch import Tensor

from segttt.geometry.argmax import argmax
from segttt.geometry.blocks import blocks, on_grid
from segttt.geometry.resample import Shape3, axis_orders

BLOCK_VOXELS = 2**20  # times classes and 16 bytes: logits, their exponentials, probabilities, logs


@dataclass(frozen=True)
class Likely:
    """Consecutive slices of the new grid."""

    classes: Integer[np.ndarray, "n Y X"]
    """As `classes_on_grid` gives them."""
    probabilities: Float32[np.ndarray, "k n Y X"]
    entropy: Float32[np.ndarray, "n Y X"]
    """-sum p log p / log k: 0 where one class is certain, 1 where all are equally likely."""


def probabilities_on_grid(
    slabs: Iterable[Float[Tensor, "k _ y x"]],
    depth: int,
    shape: Shape3,
    separate: int | None,
    *,
    logits: bool,
) -> Iterator[Likely]:
    """As `classes_on_grid`, with the softmax of the resampled logits.

    Where `logits` is False the slabs are probabilities already and are only resampled.
    """
    orders = axis_orders(1, separate)
    for slab, rows in blocks(slabs, depth, shape, orders, BLOCK_VOXELS):
        levels = torch.stack([on_grid(one, rows, shape, orders) for one in slab])
        shares = levels.softmax(0) if logits else levels / levels.sum(0)
        entropy = torch.special.entr(shares).sum(0) / math.log(len(shares))
        yield Likely(argmax(slab, rows, shape, orders), shares.cpu().numpy(), entropy.cpu().numpy())
