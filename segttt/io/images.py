"""Scans on disk: NIfTI read by our own reader, NRRD and MHA by SimpleITK, all written by it."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from jaxtyping import Float32, Int, Shaped

from segttt.errors import GeometryError, ImageError, LabelError, ran_out_of_memory
from segttt.geometry.grid import Grid
from segttt.io.checksums import check_compressed
from segttt.io.files import replace_atomically, unwritable
from segttt.io.names import ending
from segttt.io.nifti import LARGEST_RATIO, read_nifti
from segttt.io.orient import check_grid

sitk.ProcessObject.SetGlobalWarningDisplay(False)


def read_image(path: Path) -> tuple[Float32[np.ndarray, "c z y x"], Grid]:
    """Voxels in the file's axes and their grid; a fourth axis of the file becomes channels.

    An `ImageError` or `GeometryError` tells what a scan must not be: cut, damaged, coloured,
    complex, NaN, skewed or without a spacing.
    """
    array, grid = _read(path)
    with np.errstate(over="ignore"):
        image = array.astype(np.float32, copy=False)
    broken = image.size - int(np.isfinite(image).sum())
    if broken:
        raise ImageError(
            f"{path}: holds {broken} voxels that are NaN or infinite. "
            "Replace them, for example by the value of air, and save it again."
        )
    return image, grid


def read_label_image(path: Path) -> tuple[Int[np.ndarray, "z y x"], Grid]:
    """A label map in the file's axes, int16 or int32, and its grid."""
    array, grid = _read(path)
    if len(array) != 1:
        raise LabelError(f"{path}: has {len(array)} channels; a label map has one.")
    return as_labels(array[0], path), grid


def as_labels(array: Shaped[np.ndarray, "z y x"], path: Path) -> Int[np.ndarray, "z y x"]:
    """Whole, non-negative numbers as int16, or int32 where they are large; else a `LabelError`."""
    if array.dtype.kind == "f":
        whole = np.rint(array) == array
        if not whole.all():
            raise LabelError(
                f"{path}: holds {int((~whole).sum())} values that are no whole numbers, such as "
                f"{array[~whole][0]:g}. Was it interpolated? Use the original label map."
            )
    low, high = array.min(), array.max()
    if low < 0 or high > np.iinfo(np.int32).max:
        raise LabelError(
            f"{path}: holds values from {low:g} to {high:g}; labels are 0, 1, 2 and so on."
        )
    return array.astype(np.int16 if high <= np.iinfo(np.int16).max else np.int32)


def write_image(path: Path, array: Shaped[np.ndarray, "z y x"], grid: Grid) -> None:
    """Write voxels in the file's axes atomically, then read them back and compare.

    A `ResourceError` names the file where the copy on disk is not what was to be written.
    """
    image = sitk.GetImageFromArray(np.ascontiguousarray(array))
    image.SetSpacing(grid.spacing_mm[::-1])
    image.SetOrigin(grid.origin_mm)
    image.SetDirection(np.asarray(grid.direction)[::-1].T.ravel().tolist())
    with replace_atomically(path, array.nbytes) as temporary:
        try:
            sitk.WriteImage(image, str(temporary), useCompression=ending(path) != ".nii")
            written, place = _read(temporary)
        except (RuntimeError, ImageError) as error:
            if ran_out_of_memory(error):
                raise
            unread = isinstance(error, ImageError)
            reason = "it cannot be read back" if unread else _last_line(error)
            raise unwritable(path, reason, array.nbytes) from error
        same = written.shape[1:] == array.shape and np.array_equal(written[0], array)
        if not same or grid.difference(place):
            raise unwritable(path, "it differs after writing", array.nbytes)


def _read(path: Path) -> tuple[np.ndarray, Grid]:
    if not path.is_file():
        raise ImageError(f"{path}: does not exist.")
    array, grid = read_nifti(path) if ending(path).startswith(".nii") else _read_itk(path)
    return array, check_grid(grid, path)


def _read_itk(path: Path) -> tuple[np.ndarray, Grid]:
    check_compressed(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        _check_storage(reader, path)
        image = reader.Execute()
    except RuntimeError as error:
        if ran_out_of_memory(error):
            raise
        if "orthonormal" in str(error) or "direction" in str(error).lower():
            raise GeometryError(
                f"{path}: its axes are not at right angles. Resample it."
            ) from error
        raise ImageError(
            f"{path}: cannot be read as {ending(path)[1:]} ({_last_line(error)}). Is it complete?"
        ) from error
    array = sitk.GetArrayFromImage(image)
    if image.GetDimension() < 3:
        array = array[None]
    array = array.reshape(-1, *array.shape[-3:])
    rank = image.GetDimension()
    spacing, origin = [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]
    direction = np.eye(3)
    used = min(rank, 3)
    spacing[:used], origin[:used] = image.GetSpacing()[:used], image.GetOrigin()[:used]
    matrix = np.asarray(image.GetDirection()).reshape(rank, rank)
    direction[:used, :used] = matrix[:used, :used]
    first, second, third = (tuple(float(v) for v in row) for row in direction.T[::-1])
    grid = Grid(
        (array.shape[1], array.shape[2], array.shape[3]),
        (spacing[2], spacing[1], spacing[0]),
        (origin[0], origin[1], origin[2]),
        (first, second, third),  # pyright: ignore[reportArgumentType]
    )
    return array, grid


def _check_storage(reader: sitk.ImageFileReader, path: Path) -> None:
    kind = sitk.GetPixelIDValueAsString(reader.GetPixelID())
    if reader.GetNumberOfComponents() != 1 or "complex" in kind or "vector" in kind:
        raise ImageError(f"{path}: holds {kind}. Save one real number per voxel and channel.")
    size = reader.GetSize()
    if not 2 <= len(size) <= 4 or min(size) < 1:
        raise ImageError(f"{path}: has the dimensions {size}. Save one scan per file.")
    if float(np.prod([float(n) for n in size])) > path.stat().st_size * LARGEST_RATIO:
        raise ImageError(f"{path}: is cut: it cannot hold {size} voxels. Copy it again.")


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1].strip()[-160:]
