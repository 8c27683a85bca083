"""From numbered objects to the classes interior (1) and boundary (2)."""

import numpy as np
from jaxtyping import Int, Int16
from scipy import ndimage
from skimage.segmentation import find_boundaries

SMALLEST_INTERIOR_PIXELS = 16
DISK = ndimage.generate_binary_structure(2, 1)  # of radius 1


def interior_and_boundary(instances: Int[np.ndarray, "z y x"]) -> Int16[np.ndarray, "z y x"]:
    """Classes of each slice: boundary is the inner rim of every object, widened by one pixel.

    Interior parts under 16 pixels are dropped. Rule of the three-class conversion that U-Mamba
    (arXiv 2401.04722) uses for cells.
    """
    return np.stack([_classes(one) for one in instances])


def _classes(objects: np.ndarray) -> np.ndarray:
    rim: np.ndarray = ndimage.binary_dilation(
        np.asarray(find_boundaries(objects, mode="inner"), bool), DISK
    )
    parts = np.empty(objects.shape, np.int32)
    ndimage.label((objects > 0) & ~rim, output=parts)
    large = np.bincount(parts.ravel()) >= SMALLEST_INTERIOR_PIXELS
    large[0] = False
    classes = large[parts].astype(np.int16)
    classes[rim] = 2
    return classes
