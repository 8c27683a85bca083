"""The nouns: what flows through the house, from files to scores."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from segttt.geometry.grid import Grid


@dataclass(frozen=True)
class Remedies:
    """What may be done, on request, to DICOM series whose slices form no regular volume."""

    resample_nonuniform: bool = False
    """Interpolate between slices at irregular distances."""
    correct_tilt: bool = False
    """Put the slices of a tilted gantry straight above each other."""


@dataclass(frozen=True)
class Case:
    """Names and paths of one case; nothing is read yet."""

    id: str
    images: tuple[Path, ...]
    """One file with all channels, or one file per channel; the folder of a DICOM series."""
    label: Path | None = None
    masks: tuple[tuple[int, Path], ...] = ()
    """Values and files whose non-zero voxels have them, instead of one label file."""
    series: tuple[tuple[Path, ...], ...] = ()
    """Of each image the files of its DICOM series, where its folder may hold several."""
    remedies: Remedies = Remedies()


@dataclass(frozen=True)
class Orientation:
    """How the file's axes were turned into the canonical ones."""

    order: tuple[int, int, int]
    """Canonical axis i is file axis order[i]."""
    flipped: tuple[bool, bool, bool]
    """Canonical axis i runs against the file's."""


@dataclass(frozen=True)
class Volume:
    """An image in the canonical orientation (array axes run to superior, posterior, left)."""

    case: Case
    image: np.ndarray
    """(c, z, y, x), float32."""
    label: np.ndarray | None
    """(z, y, x), values as in the file."""
    grid: Grid
    """Of the canonical array."""
    orientation: Orientation
    """The way back to the file."""
    source: Grid
    """Of the file."""
    remedies: tuple[str, ...] = ()
    """What it took to make DICOM slices a regular volume, in words."""


@dataclass(frozen=True)
class Preparation:
    """What `prepare` did, so that `restore` can undo it."""

    axes: tuple[int, int, int]
    shape: tuple[int, int, int]
    """After `axes`, before cropping."""
    start: tuple[int, int, int]
    """First voxel of the crop."""
    stop: tuple[int, int, int]
    """One past the last voxel of the crop."""
    spacing_mm: tuple[float, float, float]
    """Of the crop."""
    new_shape: tuple[int, int, int]
    """After resampling."""
    new_spacing_mm: tuple[float, float, float]


@dataclass(frozen=True)
class PreparedCase:
    """A case on the plan's grid, ready for the network."""

    id: str
    image: np.ndarray
    """(c, z, y, x), float32, normalised."""
    label: np.ndarray | None
    """(z, y, x), int16 classes 0..k-1; -1 outside the non-zero region."""
    preparation: Preparation


@dataclass(frozen=True)
class Batch:
    """What one training step sees."""

    images: Tensor
    """[b, c, *grid]"""
    labels: Tensor
    """[b, *grid], int64 classes"""


@dataclass(frozen=True)
class Segmentation:
    """A label map on the grid of the source file, in the file's axes."""

    id: str
    labels: np.ndarray
    """(z, y, x), values of the dataset."""
    grid: Grid


@dataclass(frozen=True)
class SoftMaps:
    """What a prediction says beside its classes, on the canonical grid; `restore` fills it."""

    entropy: np.ndarray
    """(z, y, x), float32: 0 where one class is certain, 1 where all are equally likely."""
    probabilities: np.ndarray | None = None
    """(k, z, y, x), background first."""


@dataclass(frozen=True)
class Failure:
    """One case that could not be done, and what to do about it."""

    id: str
    stage: str
    reason: str
