"""Scans on disk: NIfTI read by our own reader, NRRD and MHA by SimpleITK, all written by it."""

from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int, Shaped
from numpy.typing import DTypeLike

from segttt.errors import ImageError, LabelError, last_line, ran_out_of_memory
from segttt.geometry.grid import Grid
from segttt.geometry.slabs import slab_slices
from segttt.io.files import replace_atomically, unwritable
from segttt.io.names import ending
from segttt.io.nifti import read_nifti
from segttt.io.orient import check_grid


def read_image(path: Path) -> tuple[Float32[np.ndarray, "c z y x"], Grid]:
    """Voxels in the file's axes and their grid; a fourth axis of the file becomes channels.

    An `ImageError` or `GeometryError` tells what a scan must not be: cut, damaged, coloured,
    complex, NaN, skewed or without a spacing.
    """
    array, grid = _read(path, np.float32)
    with np.errstate(over="ignore"):
        image = array.astype(np.float32, copy=False)
    flat = image.reshape(-1)
    finite = sum(int(np.isfinite(flat[slab]).sum()) for slab in slab_slices(flat.shape))
    if broken := image.size - finite:
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
        _check_whole(array, path)
    low, high = array.min(), array.max()
    if low < 0 or high > np.iinfo(np.int32).max:
        raise LabelError(
            f"{path}: holds values from {low:g} to {high:g}; labels are 0, 1, 2 and so on."
        )
    return array.astype(np.int16 if high <= np.iinfo(np.int16).max else np.int32)


def _check_whole(array: np.ndarray, path: Path) -> None:
    broken, example = 0, 0.0
    for slab in slab_slices(array.shape):
        part = array[slab]
        odd = part[np.rint(part) != part]
        if odd.size and not broken:
            example = float(odd[0])
        broken += odd.size
    if broken:
        raise LabelError(
            f"{path}: holds {broken} values that are no whole numbers, such as {example:g}. "
            "Was it interpolated? Use the original label map."
        )


def write_image(path: Path, array: Shaped[np.ndarray, "z y x"], grid: Grid) -> None:
    """Write voxels in the file's axes atomically, then read them back and compare.

    A `ResourceError` names the file where the copy on disk is not what was to be written.
    """
    from segttt.io import itk

    with replace_atomically(path, array.nbytes) as temporary:
        try:
            itk.write(temporary, array, grid)
            written, place = _read(temporary)
        except (RuntimeError, ImageError) as error:
            if ran_out_of_memory(error):
                raise
            unread = isinstance(error, ImageError)
            reason = "it cannot be read back" if unread else last_line(error)
            raise unwritable(path, reason, array.nbytes) from error
        same = written.shape[1:] == array.shape and np.array_equal(written[0], array)
        if not same or grid.difference(place):
            raise unwritable(path, "it differs after writing", array.nbytes)


def _read(path: Path, dtype: DTypeLike | None = None) -> tuple[np.ndarray, Grid]:
    """`dtype` is what NIfTI files are read as."""
    if not path.is_file():
        raise ImageError(f"{path}: does not exist.")
    if ending(path).startswith(".nii"):
        array, grid = read_nifti(path, dtype)
    else:
        from segttt.io import itk  # slow to import, and reading NIfTI does not need it

        array, grid = itk.read(path)
    return array, check_grid(grid, path)
