"""The classes of logits on another grid, slab by slab, so that memory stays bounded."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from jaxtyping import Float, Int, Integer
from torch import Tensor

from segttt.geometry.blocks import Orders, blocks, on_grid
from segttt.geometry.operators import Bands
from segttt.geometry.resample import Shape3, axis_orders

SLICE_BYTES = 28  # per voxel of a slice: three float32 stages, the best so far, masks, classes


def classes_on_grid(
    slabs: Iterable[Float[Tensor, "k _ y x"]],
    depth: int,
    shape: Shape3,
    separate: int | None,
    max_bytes: int,
) -> Iterator[Integer[np.ndarray, "n Y X"]]:
    """Resample consecutive slabs of logits linearly and yield consecutive blocks of the argmax.

    The slabs cover `depth` slices along axis 0 in order; the blocks cover `shape[0]`. Beyond a
    slab and its copy, at most `max_bytes` are used, or what one slice needs. Equal logits give the
    lower class. A `UsageError` tells of logits that are not finite.
    """
    orders = axis_orders(1, separate)
    for logits, rows in blocks(slabs, depth, shape, orders, max_bytes // SLICE_BYTES):
        yield argmax(logits, rows, shape, orders)


def argmax(
    logits: Float[Tensor, "k z y x"],
    rows: Bands | None,
    shape: Shape3,
    orders: Orders,
) -> Integer[np.ndarray, "n Y X"]:
    """Classes of one block: `rows` resamples the slices, `shape` and `orders` tell the rest."""
    # Class by class: torch.argmax over a leading axis is 8 times slower, and this needs no
    # resampled copy of all classes.
    small = len(logits) <= 256
    classes: Int[Tensor, "n Y X"] | None = None
    best = torch.empty(0)
    for number, one in enumerate(logits):
        level = on_grid(one, rows, shape, orders)
        if classes is None:
            dtype = torch.uint8 if small else torch.int32
            classes, best = torch.zeros(level.shape, dtype=dtype, device=level.device), level
        else:
            # A later class has the larger number, so a maximum of bytes stands for a masked fill.
            torch.maximum(classes, (level > best).to(classes.dtype).mul_(number), out=classes)
            best = torch.maximum(best, level)
    if classes is None:
        raise ValueError("logits without classes")
    return classes.cpu().numpy().astype(np.uint8 if small else np.uint16, copy=False)
