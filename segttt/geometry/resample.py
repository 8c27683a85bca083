"""Resampling as matrix products: along one axis, interpolation is a linear operator.

The operators equal scipy.ndimage with the sample positions of skimage.transform.resize, without
anti-aliasing and with edges repeated, which is how nnU-Net resamples (Nature Methods 18, 203).
"""

from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from segttt.shapes import Shape3, Triple

Order = Literal[0, 1, 3]

ANISOTROPIC = 3.0  # nnU-Net's ratio of spacings above which an axis is not interpolated
EDGE = 12  # voxels of repeated edge before the spline filter; its pole to the 12th is 1e-7
NEGLIGIBLE = 1e-9  # weights of the spline below this are cut, which makes the operator a band
BAND_ROWS = 64  # rows per product: few enough to skip most zeros, enough to keep BLAS busy
SLAB_VOXELS = 2**20  # of a label map at once; three float32 copies stay in the caches
TIE = 1e-5  # lead of the nearest voxel's label; a hundred times the round-off of a share
SMALLER = {-1: 0.75, 0: 0.5}  # leads in TIEs: of labels as far away as each other the smallest wins


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


def multiply(
    tensor: Float[Tensor, "*before"], axis: int, matrix: Float32[Tensor, "new old"]
) -> Float[Tensor, "*after"]:
    """Apply an operator along one axis, band by band so that its zeros cost nothing."""
    flat = tensor.flatten(0, axis - 1) if axis else tensor[None]
    flat = flat.flatten(2) if flat.ndim > 2 else flat[..., None]  # [outer, old, inner]
    bands = []
    for rows in matrix.split(BAND_ROWS):
        used = rows.any(dim=0).nonzero().flatten().tolist() or [0]
        first, last = used[0], used[-1] + 1
        weights, part = rows[:, first:last].to(flat), flat[:, first:last]
        # With one inner element per row, the transposed product runs over long rows instead.
        bands.append(weights @ part if flat.shape[2] > 1 else (part[..., 0] @ weights.T)[..., None])
    result = bands[0] if len(bands) == 1 else torch.cat(bands, dim=1)
    return result.reshape(*tensor.shape[:axis], len(matrix), *tensor.shape[axis + 1 :])


def resample(
    tensor: Float[Tensor, "*before"], shape: tuple[int, ...], orders: tuple[Order, ...]
) -> Float[Tensor, "*after"]:
    """Resample the last axes to `shape`, each with its order; axes that agree are left alone."""
    lead = tensor.ndim - len(shape)
    axes = range(len(shape))
    for axis in sorted(axes, key=lambda one: shape[one] / tensor.shape[lead + one]):
        old, new = tensor.shape[lead + axis], shape[axis]
        if old != new:
            tensor = multiply(tensor, lead + axis, operator(old, new, orders[axis]))
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
    result = image.new_empty(len(image), *shape)
    for channel, target in zip(image, result, strict=True):
        rest = [axis for axis in range(3) if axis != separate]
        low, high = channel.amin(rest, keepdim=True), channel.amax(rest, keepdim=True)
        if separate is not None:
            one: list[int] = [1, 1, 1]
            one[separate] = shape[separate]
            low, high = (resample(bound, tuple(one), (0, 0, 0)) for bound in (low, high))
        smooth = resample(channel, shape, axis_orders(3, separate))
        torch.clamp(smooth, low, high, out=target)
    return result


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
    boxes = ndimage.find_objects(labels.numpy().astype(np.int32) + 2)
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
        share = multiply(share, axis, part)
    return tuple(here), share
