"""Resampling of images and labels as matrix products, one per axis."""

import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from segttt.geometry.operators import Order, banded, bands, multiply, operator
from segttt.shapes import Shape3, Triple

ANISOTROPIC = 3.0  # nnU-Net's ratio of spacings above which an axis is not interpolated
SLAB_VOXELS = 2**20  # of a label map at once; three float32 copies stay in the caches
TIE = 1e-5  # lead of the nearest voxel's label; a hundred times the round-off of a share
SMALLER = {-1: 0.75, 0: 0.5}  # leads in TIEs: of labels as far away as each other the smallest wins


def resample(
    tensor: Float[Tensor, "*before"], shape: tuple[int, ...], orders: tuple[Order, ...]
) -> Float[Tensor, "*after"]:
    """Resample the last axes to `shape`, each with its order; axes that agree are left alone."""
    lead = tensor.ndim - len(shape)
    axes = range(len(shape))
    for axis in sorted(axes, key=lambda one: shape[one] / tensor.shape[lead + one]):
        old, new = tensor.shape[lead + axis], shape[axis]
        if old != new:
            tensor = multiply(tensor, lead + axis, banded(old, new, orders[axis], tensor.device))
    return tensor


def separate_axis(spacing_mm: Triple, new_spacing_mm: Triple) -> int | None:
    """The one axis so coarse that it is resampled by itself, with order 0; nnU-Net's rule."""
    for spacing in (spacing_mm, new_spacing_mm):
        if max(spacing) / min(spacing) > ANISOTROPIC:
            coarsest = [axis for axis in range(3) if spacing[axis] == max(spacing)]
            return coarsest[0] if len(coarsest) == 1 else None
    return None


def axis_orders(order: Order, separate: int | None) -> tuple[Order, Order, Order]:
    """The order along each axis: 0 along the separate one, `order` along the others."""
    along: list[Order] = [0 if axis == separate else order for axis in range(3)]
    return along[0], along[1], along[2]


def resample_image(
    image: Float32[Tensor, "c z y x"], shape: Shape3, separate: int | None = None
) -> Float32[Tensor, "c Z Y X"]:
    """Cubic splines, clipped to the range of each channel (of each slice along `separate`)."""
    if tuple(image.shape[1:]) == shape:
        return image
    channels = []
    for channel in image:
        rest = [axis for axis in range(3) if axis != separate]
        low, high = channel.amin(rest, keepdim=True), channel.amax(rest, keepdim=True)
        if separate is not None:
            one: list[int] = [1, 1, 1]
            one[separate] = shape[separate]
            low, high = (resample(bound, tuple(one), (0, 0, 0)) for bound in (low, high))
        smooth = resample(channel, shape, axis_orders(3, separate))
        channels.append(smooth.clamp_(low, high))
    return channels[0][None] if len(channels) == 1 else torch.stack(channels)


def resample_labels(
    labels: Int[Tensor, "z y x"], shape: Shape3, separate: int | None = None
) -> Int[Tensor, "Z Y X"]:
    """Interpolate each label by itself and keep the one with the largest share of a voxel.

    Where labels share the lead, as halfway between two voxels, the nearest voxel's is kept (of two
    the later one), or else the smallest (batchgenerators 0.25.5, with which nnU-Net resamples).
    Labels start at -1. Slab by slab, and each label inside its own box, so memory does not grow
    with their number.
    """
    if tuple(labels.shape) == shape:
        return labels
    from scipy import ndimage  # slow to import, and only training needs it

    sizes = list(zip(labels.shape, shape, strict=True))
    orders = axis_orders(1, separate)
    shares = [operator(old, new, order) for (old, new), order in zip(sizes, orders, strict=True)]
    nearest = [operator(old, new, 0).argmax(dim=1) for old, new in sizes]
    boxes = ndimage.find_objects((labels + 2).numpy())  # from the value 1 on
    step = max(1, SLAB_VOXELS // (shape[1] * shape[2]))
    slabs = [
        _leading_labels(labels, boxes, (rows, *shares[1:]), (places, *nearest[1:]))
        for rows, places in zip(shares[0].split(step), nearest[0].split(step), strict=True)
    ]
    return torch.cat(slabs)


Matrices = tuple[Float32[Tensor, "_ _"], ...]
"""From the old to the new samples of each axis."""


def _leading_labels(
    labels: Int[Tensor, "z y x"],
    boxes: list[tuple[slice, ...] | None],
    matrices: Matrices,
    nearest: tuple[Int[Tensor, " _"], ...],
) -> Int[Tensor, "Z Y X"]:
    """The labels of largest share on the grid of the matrices' rows."""
    near = labels
    for axis, places in enumerate(nearest):
        near = near.index_select(axis, places)
    result = torch.zeros_like(near)
    best, rest = torch.zeros(near.shape), torch.ones(near.shape)
    for value, box in enumerate(boxes, start=-1):
        # The background is what the other labels leave over.
        found = None if box is None or value == 0 else _share(labels, value, box, matrices)
        if found is not None:
            here, share = found
            rest[here] -= share
            share += TIE * ((near[here] == value) + SMALLER.get(value, 0.0))
            result[here].masked_fill_(share > best[here], value)
            torch.maximum(best[here], share, out=best[here])
    rest += TIE * ((near == 0) + SMALLER[0])
    return result.masked_fill_(rest > best, 0)


def _share(
    labels: Int[Tensor, "z y x"], value: int, box: tuple[slice, ...], matrices: Matrices
) -> tuple[tuple[slice, ...], Float32[Tensor, "Z Y X"]] | None:
    """The part of the new grid that a label in `box` reaches, and its share of each voxel there."""
    here, there, parts = [], [], []
    for matrix, span in zip(matrices, box, strict=True):
        used = matrix[:, span] != 0
        rows, columns = used.any(dim=1).nonzero(), used.any(dim=0).nonzero()
        if not len(rows):
            return None
        here.append(slice(int(rows[0]), int(rows[-1]) + 1))
        there.append(slice(span.start + int(columns[0]), span.start + int(columns[-1]) + 1))
        parts.append(matrix[here[-1], there[-1]])
    share = (labels[tuple(there)] == value).float()
    for axis, part in enumerate(parts):
        share = multiply(share, axis, bands(part))
    return tuple(here), share
