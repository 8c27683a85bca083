"""Logits that arrive slab by slab, cut into blocks that can be brought to another grid."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from segttt.errors import UsageError
from segttt.geometry.operators import Bands, Order, bands, multiply, operator
from segttt.geometry.resample import Shape3, resample

Orders = tuple[Order, Order, Order]


def blocks(
    slabs: Iterable[Float[Tensor, "k _ y x"]],
    depth: int,
    shape: Shape3,
    orders: Orders,
    max_voxels: int,
) -> Iterator[tuple[Float[Tensor, "k z y x"], Bands | None]]:
    """Slices of the slabs, and what makes the next slices of `shape` of them; None: they are these.

    The slabs cover `depth` slices along axis 0 in order, the operators give the `shape[0]` slices
    of the new grid in order, at most `max_voxels` at once or one slice. A `UsageError` tells of
    logits that are not finite.
    """
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
        step = max(1, max_voxels // _largest_plane(held, shape))
        for low in range(done, ready, step):
            high = min(low + step, ready)
            a, b = first[low], last[high - 1] + 1
            rows = bands(matrix[low:high, a:b], held.device)
            yield held[:, a - start : b - start], None if rows.straight else rows
        done = ready
        drop = min(first[done] if done < shape[0] else stop, stop) - start
        held = held[:, drop:].clone()
        start += drop
    if done < shape[0]:
        raise ValueError(f"the slabs end after {done} of {shape[0]} slices")


def on_grid(
    level: Float[Tensor, "z y x"], rows: Bands | None, shape: Shape3, orders: Orders
) -> Float32[Tensor, "n Y X"]:
    """One class of a block on the new grid."""
    level = level.float() if rows is None else multiply(level.float(), 0, rows)
    return resample(level, shape[1:], orders[1:])


def _largest_plane(held: Tensor, shape: Shape3) -> int:
    return max(held.shape[2], shape[1]) * max(held.shape[3], shape[2])


def _refuse_nonfinite(slab: Tensor) -> None:
    # One pass over the slab; its sum may overflow where no number does.
    if not bool(slab.sum().isfinite()) and not bool(slab.isfinite().all()):
        raise UsageError(
            "The network returned values that are not finite. Predict with train.precision=fp32, "
            "or train again if its weights are damaged."
        )
