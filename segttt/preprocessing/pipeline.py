"""From a volume to what the network sees, and from its logits back to the volume."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from math import prod

import numpy as np
import torch
from jaxtyping import Float, Int, Int16, Integer
from torch import Tensor

from segttt.cases import Preparation, PreparedCase, SoftMaps, Volume
from segttt.config.plan import Plan
from segttt.errors import ImageError, LabelError
from segttt.geometry.argmax import classes_on_grid
from segttt.geometry.probabilities import Likely, probabilities_on_grid
from segttt.geometry.resample import resample_image, resample_labels, separate_axis
from segttt.geometry.slabs import slab_slices, value_counts
from segttt.preprocessing.crop import nonzero, nonzero_box, nonzero_mask
from segttt.preprocessing.normalise import normalise
from segttt.shapes import Shape3

OUTSIDE = -1
LARGEST_VOXELS = 1 << 32  # 16 GiB per channel; a wrong spacing or a hostile plan asks for more
RESTORE_BYTES = 32 * 2**20  # a third faster than 256 MiB, which leaves the caches


def prepare(volume: Volume, plan: Plan, *, overwrite: bool = False) -> PreparedCase:
    """Take the plan's axes, crop to non-zero, normalise, and resample to the plan's spacing.

    Background outside the non-zero region becomes -1. `overwrite` works in the volume's own arrays,
    whose content is lost, which saves a copy of each. A `LabelError` names values that the plan
    does not know, an `ImageError` a channel that cannot be normalised.
    """
    image, label, case_id = volume.image, volume.label, volume.case.id
    # Filling the holes takes long, and does not change the box.
    filled = label is not None or any(channel.masked for channel in plan.normalisation)
    mask = nonzero_mask(image) if filled else nonzero(image)
    start, stop = nonzero_box(mask)
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    preparation = _preparation(volume, plan, start, stop)
    new_shape = preparation.new_shape
    separate = separate_axis(preparation.spacing_mm, preparation.new_spacing_mm)
    del volume  # its label goes before the image is resampled, unless the caller keeps it
    if label is not None:
        label = to_classes(label, plan, case_id, overwrite=overwrite)[box]
        _mark_outside(label, mask[box])
        turned = torch.from_numpy(label.transpose(plan.axes))
        label = resample_labels(turned, new_shape, separate).numpy()
        del turned
    image = image[:, *box] if overwrite else image[:, *box].copy()
    for c, channel in enumerate(image):
        _normalise(channel, mask[box], case_id, plan, c)
    del mask
    # Turned only now: passes over slabs are slow against the order of the memory.
    image = torch.from_numpy(image.transpose(0, *(axis + 1 for axis in plan.axes)))
    image = resample_image(image, new_shape, separate).numpy()
    return PreparedCase(case_id, image, label, preparation)


def preparing_bytes(volume: Volume, plan: Plan) -> int:
    """Estimate of what `prepare` takes beside the volume that it overwrites, without its label.

    A mask, or else the channels that are resampled already (twice where they are put together) and
    what becomes of the next one axis by axis, of which two steps are there at once.
    """
    channels, z, y, x = volume.image.shape
    whole = _preparation(volume, plan, (0, 0, 0), (z, y, x))
    if whole.new_shape == whole.shape:
        return z * y * x
    turned = z * y * x if plan.axes != (0, 1, 2) else 0
    shares = sorted(new / old for old, new in zip(whole.shape, whole.new_shape, strict=True))
    steps = [turned, *(z * y * x * prod(shares[: n + 1]) for n in range(3))]
    others = (2 * channels - 2) * prod(whole.new_shape)
    return max(z * y * x, 4 * int(others + max(a + b for a, b in pairwise(steps))))


def restore(
    slabs: Iterable[Float[Tensor, "k _ _ _"]],
    preparation: Preparation,
    *,
    max_bytes: int = RESTORE_BYTES,
    maps: SoftMaps | None = None,
    logits: bool = True,
) -> Integer[np.ndarray, "z y x"]:
    """Class indices on the canonical grid from consecutive slabs of logits along the first axis.

    Logits are resampled linearly (order 0 along a separate axis) before the argmax; all classes
    at native resolution are never held at once. The result is uint8, or uint16 above 256 classes.
    `maps` are filled where they are given, outside the crop with certain background; `logits` tells
    whether the slabs are logits rather than probabilities.
    """
    start, stop = preparation.start, preparation.stop
    separate = separate_axis(preparation.new_spacing_mm, preparation.spacing_mm)
    size = (stop[0] - start[0], stop[1] - start[1], stop[2] - start[2])
    depth = preparation.new_shape[0]
    if maps is None:
        blocks = classes_on_grid(slabs, depth, size, separate, max_bytes)
    else:
        soft = probabilities_on_grid(slabs, depth, size, separate, logits=logits)
        blocks = _filled(soft, maps, preparation)
    whole: np.ndarray | None = None
    z = start[0]
    for block in blocks:
        if whole is None:
            whole = np.zeros(preparation.shape, dtype=block.dtype)
        whole[z : z + len(block), start[1] : stop[1], start[2] : stop[2]] = block
        z += len(block)
    if whole is None:
        raise ValueError("there are no slabs to restore")
    return whole.transpose(np.argsort(preparation.axes))


def _filled(
    soft: Iterable[Likely], maps: SoftMaps, preparation: Preparation
) -> Iterator[Integer[np.ndarray, "n Y X"]]:
    """Copy each block into the maps and hand on its classes."""
    start, stop, axes = preparation.start, preparation.stop, preparation.axes
    entropy = maps.entropy.transpose(axes)
    entropy[:] = 0
    shares = None
    if maps.probabilities is not None:
        shares = maps.probabilities.transpose(0, *(axis + 1 for axis in axes))
        shares[:] = 0
        shares[0] = 1
    z = start[0]
    for block in soft:
        box = (slice(z, z + len(block.classes)), slice(start[1], stop[1]), slice(start[2], stop[2]))
        entropy[box] = block.entropy
        if shares is not None:
            shares[:, *box] = block.probabilities
        z += len(block.classes)
        yield block.classes


def to_classes(
    label: Int[np.ndarray, "z y x"], plan: Plan, case_id: str, *, overwrite: bool = False
) -> Int16[np.ndarray, "z y x"]:
    """Values of the files as classes 0..k-1: position in the plan, or interior and boundary.

    `overwrite` puts positions in the place of the values where their type is the same.
    """
    if plan.instances:
        # scikit-image is slow to import, and only pictures of cells need it.
        from segttt.preprocessing.instances import interior_and_boundary

        return interior_and_boundary(label)
    known = {0, *plan.labels}
    strange = [(v, n) for v, n in value_counts(label).items() if v not in known]
    if strange:
        found = ", ".join(f"{v} ({n} voxels)" for v, n in strange[:8])
        raise LabelError(
            f"{case_id}: its label holds values that the plan does not know: {found}. "
            "Declare them in the dataset, or correct the label."
        )
    table = np.zeros(max(plan.labels) + 1, dtype=np.int16)
    table[[0, *plan.labels]] = np.arange(plan.classes)
    classes = label if overwrite and label.dtype == np.int16 else np.empty(label.shape, np.int16)
    for slab in slab_slices(label.shape):
        np.take(table, label[slab], out=classes[slab], mode="clip")
    return classes


def _mark_outside(classes: np.ndarray, mask: np.ndarray) -> None:
    for slab in slab_slices(classes.shape):
        classes[slab][(classes[slab] == 0) & ~mask[slab]] = OUTSIDE


def _normalise(channel: np.ndarray, mask: np.ndarray, case_id: str, plan: Plan, index: int) -> None:
    try:
        normalise(channel, plan.normalisation[index], mask, overwrite=True)
    except ImageError as error:
        raise ImageError(f"{case_id}, channel {plan.channels[index]}: {error}") from error


def _preparation(volume: Volume, plan: Plan, low: Shape3, high: Shape3) -> Preparation:
    """Of the canonical box between two corners."""
    a, b, c = plan.axes
    start, stop = (low[a], low[b], low[c]), (high[a], high[b], high[c])
    full, spacing = volume.grid.shape, volume.grid.spacing_mm
    spacing = (spacing[a], spacing[b], spacing[c])
    new_spacing = plan.spacing_mm if plan.resample_z else (spacing[0], *plan.spacing_mm[1:])
    z, y, x = (
        max(1, round(old / new * (last - first)))
        for first, last, old, new in zip(start, stop, spacing, new_spacing, strict=True)
    )
    if z * y * x > LARGEST_VOXELS:
        raise ImageError(
            f"{volume.case.id}: at the plan's spacing of {_words(new_spacing)} mm it would have "
            f"{z} x {y} x {x} voxels. Is the spacing of the scan, {_words(spacing)} mm, right?"
        )
    return Preparation(
        axes=plan.axes,
        shape=(full[a], full[b], full[c]),
        start=start,
        stop=stop,
        spacing_mm=spacing,
        new_shape=(z, y, x),
        new_spacing_mm=new_spacing,
    )


def _words(triple: tuple[float, float, float]) -> str:
    return " x ".join(f"{value:g}" for value in triple)
