"""The classes of logits on another grid, slab by slab, so that memory stays bounded."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, Integer
from torch import Tensor

from segttt.errors import UsageError
from segttt.geometry.resample import Order, Shape3, axis_orders, multiply, operator, resample

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
    matrix = operator(depth, shape[0], orders[0])
    used = matrix != 0
    first = used.int().argmax(dim=1).tolist()
    last = (depth - 1 - used.flip(1).int().argmax(dim=1)).tolist()
    held: Tensor | None = None
    start = done = 0
    for slab in slabs:
        _refuse_nonfinite(slab)
        held = slab if held is None or not held.shape[1] else torch.cat((held, slab), dim=1)
        stop = start + held.shape[1]
        ready = bisect_left(last, stop)
        step = max(1, max_bytes // (SLICE_BYTES * _largest_plane(held, shape)))
        for low in range(done, ready, step):
            high = min(low + step, ready)
            a, b = first[low], last[high - 1] + 1
            rows = matrix[low:high, a:b]
            yield _argmax(held[:, a - start : b - start], rows, shape, orders)
        done = ready
        drop = min(first[done] if done < shape[0] else stop, stop) - start
        held = held[:, drop:].clone()
        start += drop
    if done < shape[0]:
        raise ValueError(f"the slabs end after {done} of {shape[0]} slices")


def _argmax(
    logits: Float[Tensor, "k z y x"],
    rows: Float32[Tensor, "n z"],
    shape: Shape3,
    orders: tuple[Order, Order, Order],
) -> Integer[np.ndarray, "n Y X"]:
    # Class by class: torch.argmax over a leading axis is 8 times slower, and this needs no
    # resampled copy of all classes.
    small = len(logits) <= 256
    classes: Int[Tensor, "n Y X"] | None = None
    best = torch.empty(0)
    straight = rows.shape[0] == rows.shape[1] and bool((rows.diagonal() == 1).all())
    for number, one in enumerate(logits):
        level = one.float() if straight else multiply(one.float(), 0, rows)
        level = resample(level, shape[1:], orders[1:])
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


def _largest_plane(held: Tensor, shape: Shape3) -> int:
    return max(held.shape[2], shape[1]) * max(held.shape[3], shape[2])


def _refuse_nonfinite(slab: Tensor) -> None:
    if not bool(torch.isfinite(slab).all()):
        raise UsageError(
            "The network returned values that are not finite. Predict with train.precision=fp32, "
            "or train again if its weights are damaged."
        )
