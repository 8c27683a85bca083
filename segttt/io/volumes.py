"""Cases from disk into the canonical orientation, and segmentations back onto the file's grid."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float32, Int, Integer

from segttt.cases import Case, Segmentation, Volume
from segttt.errors import GeometryError, ImageError
from segttt.geometry.grid import Grid
from segttt.io.dicom.library import require
from segttt.io.images import read_image, read_label_image, write_image
from segttt.io.names import ending, is_picture
from segttt.io.orient import orientation_of, turn, turn_back
from segttt.io.pictures import (
    picture_grid,
    read_label_picture,
    read_picture,
    write_label_picture,
    write_map_picture,
)


def read_volume(case: Case, channels: int | None, *, label: bool = True) -> Volume:
    """Read a case with its label, where it has one, and turn it to the canonical orientation.

    `channels` None takes what the files have. A `GeometryError` names two files whose grids
    differ, an `ImageError` or `LabelError` whatever a file must not hold.
    """
    image, source = _read_channels(case, channels)
    orientation = orientation_of(source)
    labels = None
    if label and case.label is not None:
        values, grid = read_labels(case.label)
        _same_grid(case.label, grid, case.images[0], source)
        labels = np.ascontiguousarray(turn(values, orientation))
    return Volume(
        case=case,
        image=np.ascontiguousarray(turn(image, orientation)),
        label=labels,
        grid=source.turned(orientation.order, orientation.flipped),
        orientation=orientation,
        source=source,
    )


def read_labels(path: Path) -> tuple[Int[np.ndarray, "z y x"], Grid]:
    """A label map in the FILE's axes and its grid."""
    if is_picture(path):
        values = read_label_picture(path)
        return values, picture_grid(*values.shape[1:])
    return read_label_image(path)


def to_segmentation(
    classes: Integer[np.ndarray, "z y x"], volume: Volume, labels: Mapping[int, str]
) -> Segmentation:
    """Canonical class indices as the dataset's label values in the axes of the source file."""
    values = np.array((0, *labels))
    dtype = np.min_scalar_type(int(values.max()))
    turned = turn_back(values.astype(dtype)[classes], volume.orientation)
    return Segmentation(volume.case.id, np.ascontiguousarray(turned), volume.source)


def is_series(case: Case) -> bool:
    """Whether the images are DICOM series."""
    return bool(case.series) or case.images[0].is_dir()


def segmentation_name(case: Case) -> str:
    """File name of the case's segmentation: the image's format, PNG for lossy pictures, NIfTI for
    DICOM.
    """
    found = ".nii.gz" if is_series(case) else ending(case.images[0])
    return case.id + (".png" if found in (".jpg", ".jpeg", ".bmp") else found)


def write_segmentation(path: Path, segmentation: Segmentation) -> None:
    """Write atomically in the smallest unsigned type, read back and compare."""
    labels = segmentation.labels
    small = labels.astype(np.min_scalar_type(int(labels.max())))
    if is_picture(path):
        write_label_picture(path, small)
    else:
        write_image(path, small, segmentation.grid)


def write_dicom_seg(
    path: Path,
    case: Case,
    segmentation: Segmentation,
    labels: Mapping[int, str],
    kind: Literal["binary", "labelmap"],
    *,
    optional: bool,
) -> bool:
    """Write a DICOM SEG that refers to the case's first series; whether one was written.

    With `optional` a series without the UIDs that a SEG must refer to gets none; else it is an
    `ImageError`.
    """
    require()
    from segttt.io.dicom.seg import lacking, write_seg
    from segttt.io.dicom.study import only_series

def map_name(case: Case) -> str:
    """File name of a map of real numbers of a case: TIFF for pictures, else as segmentations."""
    name = segmentation_name(case)
    return f"{case.id}.tif" if is_picture(Path(name)) else name


def write_map(path: Path, values: Float32[np.ndarray, "z y x"], volume: Volume) -> None:
    """Write canonical real numbers on the grid of the source file, read back and compare."""
    turned = np.ascontiguousarray(turn_back(values, volume.orientation))
    if is_picture(path):
        write_map_picture(path, turned)
    else:
        write_image(path, turned, volume.source)


    files = case.series[0] if case.series else only_series(case.images[0]).files
    if optional and lacking(files):
        return False
    write_seg(path, segmentation, labels, files, kind)
    return True


def _read_channels(case: Case, channels: int | None) -> tuple[Float32[np.ndarray, "c z y x"], Grid]:
    parts: list[np.ndarray] = []
    grids: list[Grid] = []
    for index, path in enumerate(case.images):
        if is_series(case):
            image, grid = _read_dicom(path, case.series[index] if case.series else ())
        elif is_picture(path):
            image = read_picture(path, channels if len(case.images) == 1 else 1)
            grid = picture_grid(*image.shape[2:])
        else:
            image, grid = read_image(path)
        if grids:
            _same_grid(path, grid, case.images[0], grids[0])
        parts.append(image)
        grids.append(grid)
    image = parts[0] if len(parts) == 1 else np.concatenate(parts)
    if channels and len(image) != channels:
        names = ", ".join(path.name for path in case.images)
        raise ImageError(
            f"{case.images[0].parent}: {names} hold {len(image)} channels where {channels} are "
            "expected. Add the missing ones, or correct the channels of the dataset."
        )
    return image, grids[0]


def _read_dicom(
    folder: Path, files: tuple[Path, ...]
) -> tuple[Float32[np.ndarray, "1 z y x"], Grid]:
    """The files as a volume; without any, the one series of the folder."""
    require()
    from segttt.io.dicom.study import read_folder, read_series

    return read_series(files) if files else read_folder(folder)


def _same_grid(path: Path, grid: Grid, other_path: Path, other: Grid) -> None:
    if difference := grid.difference(other):
        raise GeometryError(
            f"{path}: does not lie on the grid of {other_path} ({difference}). "
            "Resample it onto that grid first."
        )
