"""The slices of a series in space, whether or not they lie on a regular grid."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from segttt.geometry.grid import Grid


@dataclass(frozen=True, eq=False)
class Slices:
    """Parallel slices of equal size, from the lowest to the highest along their normal."""

    corners_mm: np.ndarray
    """(n, 3), centre of the first pixel of each slice as (left, posterior, superior)."""
    axes: np.ndarray
    """(3, 3), unit vectors: the normal, along a column, along a row."""
    pixel_mm: tuple[float, float]
    """Distance of rows, then of columns."""
    size: tuple[int, int]
    """Rows and columns."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of an array (slice, row, column)."""
        return len(self.corners_mm), *self.size

    @property
    def heights_mm(self) -> Float[np.ndarray, " n"]:
        """Positions along the normal."""
        return self.corners_mm @ self.axes[0]

    @property
    def usual_mm(self) -> float:
        """The median distance of neighbours."""
        return float(np.median(np.diff(self.heights_mm)))

    def locate(
        self, points_mm: Float[np.ndarray, "p 3"]
    ) -> tuple[Int[np.ndarray, " p"], Float[np.ndarray, " p"], Float[np.ndarray, "p 2"]]:
        """Nearest slice of points, how far above it they lie in mm, and their (row, column)."""
        heights, at = self.heights_mm, points_mm @ self.axes[0]
        nearest = np.searchsorted((heights[1:] + heights[:-1]) / 2, at)
        in_plane = (points_mm - self.corners_mm[nearest]) @ self.axes[1:].T
        return nearest, at - heights[nearest], in_plane / np.array(self.pixel_mm)

    def points_mm(self, index: int, pixels: Float[np.ndarray, "p 2"]) -> Float[np.ndarray, "p 3"]:
        """The inverse of `locate`: positions of (row, column) on one slice."""
        return self.corners_mm[index] + (pixels * np.array(self.pixel_mm)) @ self.axes[1:]


def slices_of(grid: Grid) -> Slices:
    """The slices of a regular grid along its first array axis."""
    axes = np.asarray(grid.direction, dtype=float)
    along = np.arange(grid.shape[0])[:, None] * grid.spacing_mm[0] * axes[0]
    return Slices(np.asarray(grid.origin_mm) + along, axes, grid.spacing_mm[1:], (grid.shape[1:]))
