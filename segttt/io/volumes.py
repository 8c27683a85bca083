"""Cases from disk into the canonical orientation, and segmentations back onto the file's grid."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int, Integer, Shaped

from segttt.cases import Case, Segmentation, Volume
from segttt.errors import GeometryError, ImageError, LabelError, UsageError
from segttt.geometry.grid import Grid
from segttt.io.dicom.library import require
from segttt.io.images import read_image, read_label_image, write_image
from segttt.io.names import VOLUME_ENDINGS, ending, is_picture
from segttt.io.orient import orientation_of, turn, turn_back
from segttt.io.pictures import (
    picture_grid,
    read_label_picture,
    read_picture,
    write_label_picture,
    write_map_picture,
)


@dataclass(frozen=True)
class Onto:
    """Where a DICOM label is to lie, which has neither grid nor values of its own."""

    grid: Grid
    """In the file's axes, slices first."""
    names: Mapping[int, str]
    """Value -> name, by which its segments or ROIs are known."""
    source: Path | None = None
    """A file of the series that it must refer to; None: nothing to compare with."""


@dataclass(frozen=True)
class _Image:
    """What the image files of a case hold, in the file's axes."""

    array: np.ndarray
    grid: Grid
    source: Path | None = None
    """A DICOM file of it."""
    remedies: tuple[str, ...] = ()


def read_volume(
    case: Case,
    channels: int | None,
    *,
    label: bool = True,
    names: Mapping[int, str] | None = None,
) -> Volume:
    """Read a case with its label, where it has one, and turn it to the canonical orientation.

    `channels` None takes what the files have; `names` are those of the dataset's labels, by which
    a DICOM label is read. A `GeometryError` names two files whose grids differ, an `ImageError` or
    `LabelError` whatever a file must not hold.
    """
    image = _read_channels(case, channels)
    source = image.grid
    orientation = orientation_of(source)
    # Turned before the label is read, which then finds the array of the file gone.
    image = replace(image, array=np.ascontiguousarray(turn(image.array, orientation)))
    labels = None
    onto = Onto(source, names or {}, image.source)
    if label and (truth := read_truth(case, onto)):
        values, grid = truth
        _same_grid(case.label or case.masks[0][1], grid, case.images[0], source)
        labels = np.ascontiguousarray(turn(values, orientation))
    return Volume(
        case=case,
        image=image.array,
        label=labels,
        grid=source.turned(orientation.order, orientation.flipped),
        orientation=orientation,
        source=source,
        remedies=image.remedies,
    )


def read_labels(path: Path, onto: Onto | None = None) -> tuple[Int[np.ndarray, "z y x"], Grid]:
    """A label map in the FILE's axes and its grid; DICOM SEG and RTSTRUCT are put `onto` one."""
    if is_dicom_label(path):
        return _read_annotation(path, onto)
    if is_picture(path):
        values = read_label_picture(path)
        return values, picture_grid(*values.shape[1:])
    return read_label_image(path)


def is_dicom_label(path: Path) -> bool:
    """Whether a label file is a DICOM SEG or RTSTRUCT: whatever is no image by its ending."""
    return not ending(path)


def _read_annotation(path: Path, onto: Onto | None) -> tuple[Int[np.ndarray, "z y x"], Grid]:
    require()
    from segttt.io.dicom.annotation import read_annotation
    from segttt.io.dicom.slices import slices_of

    if onto is None:
        raise LabelError(
            f"{path}: a DICOM label can only be read with the DICOM series that it was made for."
        )
    return read_annotation(path, slices_of(onto.grid), onto.names, onto.source), onto.grid


def read_truth(
    case: Case, onto: Onto | None = None
) -> tuple[Int[np.ndarray, "z y x"], Grid] | None:
    """The label map of a case in the FILE's axes, from its label or its masks; None without.

    Where masks overlap, the larger value is kept.
    """
    if case.label is not None:
        if is_dicom_label(case.label) and not is_series(case):
            onto = None
        return read_labels(case.label, onto)
    if not case.masks:
        return None
    labels, grid = read_labels(case.masks[0][1])
    merged = np.zeros_like(labels)
    for value, path in sorted(case.masks):
        mask, place = read_labels(path)
        _same_grid(path, place, case.masks[0][1], grid)
        merged[mask > 0] = value
    return merged, grid


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


def require_label_format(path: Path, grid: Grid | None = None) -> None:
    """A `UsageError` where a file of that name cannot hold a label map, or not one on that grid."""
    found = ending(path)
    if found not in (*VOLUME_ENDINGS, ".png", ".tif", ".tiff"):
        raise UsageError(
            f"{path}: its name does not tell a format of label maps. End it on .nii.gz, .nrrd or "
            ".mha, for a picture on .png or .tif."
        )
    if grid and grid.shape[0] > 1 and is_picture(path):
        raise UsageError(
            f"{path}: a picture holds one slice, the scan has {grid.shape[0]}. End the name on "
            ".nii.gz."
        )


def write_segmentation(path: Path, segmentation: Segmentation) -> None:
    """Write atomically in the smallest unsigned type, read back and compare."""
    labels = segmentation.labels
    small = labels.astype(np.min_scalar_type(int(labels.max())))
    if is_picture(path):
        write_label_picture(path, small)
    else:
        write_image(path, small, segmentation.grid)


def map_name(case: Case) -> str:
    """File name of a map of real numbers of a case: TIFF for pictures, else as segmentations."""
    name = segmentation_name(case)
    return f"{case.id}.tif" if is_picture(Path(name)) else name


def write_map(path: Path, values: Shaped[np.ndarray, "z y x"], volume: Volume) -> None:
    """Write canonical numbers in their own type on the grid of the source, read back, compare."""
    turned = np.ascontiguousarray(turn_back(values, volume.orientation))
    if not is_picture(path):
        write_image(path, turned, volume.source)
    elif turned.dtype.kind == "f":
        write_map_picture(path, turned)
    else:
        write_label_picture(path, turned)


DicomKind = Literal["binary", "labelmap", "rtstruct"]
"""A SEG of one of its types, or contours."""


def write_dicom(
    path: Path,
    case: Case,
    segmentation: Segmentation,
    labels: Mapping[int, str],
    kind: DicomKind,
    *,
    optional: bool = False,
) -> bool:
    """Write a DICOM object that refers to the case's first series; whether one was written.

    With `optional` a series without the UIDs that it must refer to gets none; else it is an
    `ImageError`.
    """
    require()
    from segttt.io.dicom.rtstruct import write_rtstruct
    from segttt.io.dicom.seg import write_seg
    from segttt.io.dicom.source import lacking
    from segttt.io.dicom.study import only_series

    files = case.series[0] if case.series else only_series(case.images[0]).files
    if optional and lacking(files):
        return False
    if kind == "rtstruct":
        write_rtstruct(path, segmentation, labels, files, case.remedies)
    else:
        write_seg(path, segmentation, labels, files, kind, case.remedies)
    return True


def _read_channels(case: Case, channels: int | None) -> _Image:
    images: list[_Image] = []
    for index, path in enumerate(case.images):
        if is_series(case):
            images.append(_read_dicom(case, index))
        elif is_picture(path):
            array = read_picture(path, channels if len(case.images) == 1 else 1)
            images.append(_Image(array, picture_grid(*array.shape[2:])))
        else:
            images.append(_Image(*read_image(path)))
        _same_grid(path, images[-1].grid, case.images[0], images[0].grid)
    first = images[0]
    array = first.array if len(images) == 1 else np.concatenate([one.array for one in images])
    if channels and len(array) != channels:
        names = ", ".join(path.name for path in case.images)
        raise ImageError(
            f"{case.images[0].parent}: {names} hold {len(array)} channels where {channels} are "
            "expected. Add the missing ones, or correct the channels of the dataset."
        )
    done = dict.fromkeys(text for one in images for text in one.remedies)
    return _Image(array, first.grid, first.source, tuple(done))


def _read_dicom(case: Case, index: int) -> _Image:
    """One series of a case: its files, or those of the one series in its folder."""
    require()
    from segttt.io.dicom.scan import open_scan, read_voxels
    from segttt.io.dicom.study import usable_files

    files = case.series[index] if case.series else usable_files(case.images[index])
    scan = open_scan(files, case.remedies)
    return _Image(read_voxels(scan), scan.stack.grid, files[0], scan.stack.remedies)


def _same_grid(path: Path, grid: Grid, other_path: Path, other: Grid) -> None:
    if difference := grid.difference(other):
        raise GeometryError(
            f"{path}: does not lie on the grid of {other_path} ({difference}). "
            "Resample it onto that grid first."
        )
