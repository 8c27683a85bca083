"""Where the voxels of an array lie in space."""

from dataclasses import dataclass, replace

import numpy as np

from segttt.shapes import Triple

TOLERANCE_VOXELS = 0.01  # header round-off of real files stays below; a real shift does not


@dataclass(frozen=True)
class Grid:
    """A regular grid in the patient system (LPS, millimetres), array axes (z, y, x)."""

    shape: tuple[int, int, int]
    spacing_mm: Triple
    """Distance of neighbouring voxels along each array axis."""
    origin_mm: Triple
    """Centre of voxel (0, 0, 0) as (left, posterior, superior)."""
    direction: tuple[Triple, Triple, Triple]
    """Unit vector (l, p, s) along each array axis, one row per axis."""

    @property
    def voxel_mm3(self) -> float:
        """Volume of one voxel."""
        return float(np.prod(self.spacing_mm))

    def point_mm(self, index: tuple[float | int, ...]) -> Triple:
        """Position of a voxel centre given by its (z, y, x) index."""
        step = np.asarray(self.direction) * np.asarray(self.spacing_mm)[:, None]
        left, posterior, superior = np.asarray(self.origin_mm) + np.asarray(index) @ step
        return float(left), float(posterior), float(superior)

    def cropped(self, start: tuple[int, ...], stop: tuple[int, ...]) -> "Grid":
        """The part between two corners, `stop` excluded."""
        z, y, x = (b - a for a, b in zip(start, stop, strict=True))
        return replace(self, shape=(z, y, x), origin_mm=self.point_mm(start))

    def turned(self, order: tuple[int, int, int], flipped: tuple[bool, bool, bool]) -> "Grid":
        """The same voxels after taking the axes in `order` and then reversing some of them."""
        corner = [0.0, 0.0, 0.0]
        for axis, reverse in zip(order, flipped, strict=True):
            corner[axis] = self.shape[axis] - 1.0 if reverse else 0.0
        sign = [-1.0 if reverse else 1.0 for reverse in flipped]
        rows = [tuple(s * v for v in self.direction[a]) for a, s in zip(order, sign, strict=True)]
        return replace(
            self,
            shape=tuple(self.shape[a] for a in order),
            spacing_mm=tuple(self.spacing_mm[a] for a in order),
            origin_mm=self.point_mm(tuple(corner)),
            direction=tuple(rows),
        )

    def difference(self, other: "Grid") -> str | None:
        """How two grids differ, in words for the user; None where they agree."""
        if self.shape != other.shape:
            return f"shape {self.shape} against {other.shape} (z, y, x)"
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape])).reshape(3, -1).T.tolist()
        apart = max(
            float(np.linalg.norm(np.subtract(self.point_mm(tuple(c)), other.point_mm(tuple(c)))))
            for c in corners
        )
        if (
            apart
            > TOLERANCE_VOXELS * min(*self.spacing_mm, *other.spacing_mm) * max(self.shape) ** 0.5
        ):
            return f"voxels up to {apart:.2f} mm apart"
        return None
