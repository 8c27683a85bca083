"""Files through SimpleITK: MHA and NRRD are read, all formats of volumes are written."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from jaxtyping import Shaped

from segttt.errors import GeometryError, ImageError, last_line, ran_out_of_memory
from segttt.geometry.grid import Grid
from segttt.io.checksums import check_compressed
from segttt.io.names import ending
from segttt.io.nifti import LARGEST_RATIO

sitk.ProcessObject.SetGlobalWarningDisplay(False)


def write(path: Path, array: Shaped[np.ndarray, "z y x"], grid: Grid) -> None:
    """Write voxels in the file's axes; a RuntimeError where ITK finds a fault."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array))
    image.SetSpacing(grid.spacing_mm[::-1])
    image.SetOrigin(grid.origin_mm)
    image.SetDirection(np.asarray(grid.direction)[::-1].T.ravel().tolist())
    sitk.WriteImage(image, str(path), useCompression=ending(path) != ".nii")


def read(path: Path) -> tuple[np.ndarray, Grid]:
    """Voxels [c, z, y, x] in the file's axes and their grid; an error tells what is wrong."""
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
            f"{path}: cannot be read as {ending(path)[1:]} ({last_line(error)}). Is it complete?"
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
