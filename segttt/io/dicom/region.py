"""What a DICOM SEG or RTSTRUCT holds: named regions on slices, and the label map they add up to."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int

from segttt.errors import LabelError
from segttt.io.dicom.slices import Slices


@dataclass(frozen=True, eq=False)
class Region:
    """The part of a segment or ROI that lies on one slice."""

    number: int
    """Of the segment or ROI."""
    slice: int
    mask: np.ndarray
    """(rows, columns), whether a pixel belongs to it."""


@dataclass(frozen=True, eq=False)
class Annotation:
    """A SEG or RTSTRUCT whose regions are still to be placed on slices."""

    path: Path
    names: Mapping[int, str]
    """Number of a segment or ROI -> its name."""
    frame_of_reference: str
    series: frozenset[str]
    """UIDs of the series that it refers to; none where it names none."""
    regions: Callable[[Slices], Iterator[Region]]


def merged(
    annotation: Annotation, slices: Slices, values: Mapping[int, int]
) -> Int[np.ndarray, "n rows columns"]:
    """The label map on the slices, where `values` tells the value of each number.

    A `LabelError` names two segments or ROIs of different values that overlap.
    """
    large = max(values.values(), default=0) > np.iinfo(np.int16).max
    labels = np.zeros(slices.shape, np.int32 if large else np.int16)
    for region in annotation.regions(slices):
        value, plane = values[region.number], labels[region.slice]
        taken = plane[region.mask]
        if (other := taken[(taken != 0) & (taken != value)]).size:
            first = next(number for number, one in values.items() if one == other[0])
            both = sorted((annotation.names[first], annotation.names[region.number]))
            raise LabelError(
                f"{annotation.path}: {' and '.join(both)} overlap, in {other.size} voxels of one "
                "slice alone, where a label map has one value. Redraw one of them."
            )
        plane[region.mask] = value
    return labels
