"""Images that are in memory already, from other programs and back to them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from jaxtyping import Shaped

from segttt.cases import Case, Segmentation, Volume
from segttt.errors import GeometryError, ImageError
from segttt.geometry.grid import Grid
from segttt.io.orient import check_grid, orientation_of, turn

Image = sitk.Image
MEMORY = Path("the image in memory")
"""Stands for a file name in messages."""
UPRIGHT = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))


def volume_of_images(images: Sequence[sitk.Image]) -> Volume:
    """One scan from SimpleITK images, one for each channel, or one whose pixels are vectors."""
    if not images:
        raise ImageError("There is no image to segment; give one for each channel.")
    arrays, grids = zip(*map(_array_and_grid, images), strict=True)
    for grid in grids[1:]:
        if difference := grid.difference(grids[0]):
            raise GeometryError(f"The channels lie on different grids ({difference}). Resample.")
    return _volume(np.concatenate(arrays), grids[0])


def volume_of_array(image: Shaped[np.ndarray, "..."], spacing_mm: Sequence[float | int]) -> Volume:
    """One scan from an array (c, z, y, x) whose axes run to superior, posterior and left, as
    segttt's own do. An `ImageError` or `GeometryError` tells of another number of axes.
    """
    if image.ndim != 4:
        raise ImageError(
            f"{MEMORY}: has {image.ndim} axes; give (channel, z, y, x), of one channel image[None]."
        )
    if len(spacing_mm) != 3:
        raise GeometryError(f"{MEMORY}: has {len(spacing_mm)} spacings; give those of z, y and x.")
    z, y, x = image.shape[1:]
    c, b, a = (float(step) for step in spacing_mm)
    return _volume(image, Grid((z, y, x), (c, b, a), (0.0, 0.0, 0.0), UPRIGHT))


def to_image(segmentation: Segmentation) -> sitk.Image:
    """The label map as a SimpleITK image on the grid of the scan."""
    grid = segmentation.grid
    image = sitk.GetImageFromArray(segmentation.labels)
    image.SetSpacing(grid.spacing_mm[::-1])
    image.SetOrigin(grid.origin_mm)
    image.SetDirection(np.asarray(grid.direction)[::-1].T.ravel().tolist())
    return image


def _array_and_grid(image: sitk.Image) -> tuple[np.ndarray, Grid]:
    if image.GetDimension() != 3:
        raise ImageError(
            f"{MEMORY}: has {image.GetDimension()} axes; give one of three (a "
            "picture by SimpleITK.JoinSeries)."
        )
    array = sitk.GetArrayFromImage(image)
    channels = image.GetNumberOfComponentsPerPixel()
    array = np.moveaxis(array, -1, 0) if channels > 1 else array[None]
    z, y, x = array.shape[1:]
    c, b, a = image.GetSpacing()
    directions = np.reshape(image.GetDirection(), (3, 3)).T[::-1].tolist()
    first, second, third = [(float(p), float(q), float(r)) for p, q, r in directions]
    left, posterior, superior = image.GetOrigin()
    origin = (left, posterior, superior)
    return array, Grid((z, y, x), (a, b, c), origin, (first, second, third))


def _volume(array: Shaped[np.ndarray, "c z y x"], source: Grid) -> Volume:
    """The array on a checked grid, in the canonical orientation."""
    source = check_grid(source, MEMORY)
    if array.dtype.kind not in "buif" or not array.size:
        raise ImageError(
            f"{MEMORY}: holds {array.size} voxels of {array.dtype}; give one real number or more."
        )
    with np.errstate(over="ignore"):  # what becomes infinite is refused
        image = np.asarray(array, dtype=np.float32)
    if broken := image.size - int(np.isfinite(image).sum()):
        raise ImageError(f"{MEMORY}: holds {broken} voxels that are NaN or infinite. Replace them.")
    orientation = orientation_of(source)
    return Volume(
        case=Case("memory", ()),
        image=np.ascontiguousarray(turn(image, orientation)),
        label=None,
        grid=source.turned(orientation.order, orientation.flipped),
        orientation=orientation,
        source=source,
    )
