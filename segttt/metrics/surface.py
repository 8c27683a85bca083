"""Distances between the surfaces of truth and prediction: NSD, HD95 and ASSD of each label.

Surface elements sit at the corners of voxels and weigh as much as their area; definitions of
Nikolov et al. (arXiv 1809.04430), as in DeepMind's surface-distance.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from jaxtyping import Bool, Float, Integer
from scipy.spatial import KDTree

from segttt.errors import GeometryError
from segttt.metrics.surface_elements import areas
from segttt.metrics.surface_lattice import Elements, Lattice, elements
from segttt.shapes import Triple

HAUSDORFF_SHARE = 0.95
ROUNDING = 1e-12  # of a sum of areas: where exactly 95 % lie within a distance, it is enough
NOTHING = Elements(np.empty(0, np.intp), np.empty(0, np.uint8))


@dataclass(frozen=True)
class Surface:
    """One surface by the distance of its parts to the other surface, the nearest first.

    Distances are in mm, infinite where there is no other surface. Areas are in mm² (mm in 2D).
    """

    distances_mm: Float[np.ndarray, " n"]
    areas: Float[np.ndarray, " n"]


@dataclass(frozen=True)
class Surfaces:
    """Both surfaces of one label; an empty mask has a surface without parts."""

    truth: Surface
    """Distances to the prediction."""
    prediction: Surface
    """Distances to the truth."""

    @property
    def complete(self) -> bool:
        return bool(self.truth.areas.size and self.prediction.areas.size)


@dataclass(frozen=True)
class SurfaceScore:
    """Surface metrics of one label in one case."""

    label: int
    nsd: float | None
    """None where truth and prediction are empty; 0 where one is."""
    hd95_mm: float | None
    """None where truth or prediction is empty."""
    assd_mm: float | None
    """None where truth or prediction is empty."""


def surfaces(
    truth: Bool[np.ndarray, "z y x"], prediction: Bool[np.ndarray, "_z _y _x"], spacing_mm: Triple
) -> Surfaces:
    """Measure two masks on one grid; outside the grid there is background.

    A volume of a single slice is a picture: its surface is a contour and its areas are lengths.
    Raises `GeometryError` where the shapes differ.
    """
    (both,) = _each(truth.view(np.uint8), prediction.view(np.uint8), [1], spacing_mm)
    return both


def surface_scores(
    truth: Integer[np.ndarray, "z y x"],
    prediction: Integer[np.ndarray, "_z _y _x"],
    labels: Sequence[int],
    spacing_mm: Triple,
    tolerances_mm: Mapping[int, float],
) -> list[SurfaceScore]:
    """Surface metrics of each label, in the order of `labels`; each needs a tolerance.

    Labels are positive; other values count as background. A volume of a single slice is scored in
    2D. Raises `GeometryError` where the shapes differ.
    """
    each = _each(truth, prediction, labels, spacing_mm)
    return [
        SurfaceScore(label, nsd(both, tolerances_mm[label]), hd95(both), assd(both))
        for label, both in zip(labels, each, strict=True)
    ]


def nsd(both: Surfaces, tolerance_mm: float) -> float | None:
    """Share of both surfaces that lies within the tolerance (inclusive) of the other surface.

    None where truth and prediction are empty; 0 where one is.
    """
    total = both.truth.areas.sum() + both.prediction.areas.sum()
    near = [side.areas[side.distances_mm <= tolerance_mm].sum() for side in _sides(both)]
    return float(sum(near) / total) if total else None


def hd95(both: Surfaces) -> float | None:
    """Distance in mm within which 95 % of the area of each surface lies from the other one.

    None where truth or prediction is empty.
    """
    return max(_percentile(side) for side in _sides(both)) if both.complete else None


def assd(both: Surfaces) -> float | None:
    """Mean of the two mean distances in mm from one surface to the other, weighted by area.

    None where truth or prediction is empty.
    """
    if not both.complete:
        return None
    means = [side.distances_mm @ side.areas / side.areas.sum() for side in _sides(both)]
    return float(sum(means) / 2)


def _sides(both: Surfaces) -> tuple[Surface, Surface]:
    return both.truth, both.prediction


def _percentile(side: Surface) -> float:
    within = np.cumsum(side.areas)
    enough = np.searchsorted(within, HAUSDORFF_SHARE * within[-1] * (1 - ROUNDING))
    return float(side.distances_mm[enough])


def _each(
    truth: np.ndarray, prediction: np.ndarray, labels: Sequence[int], spacing_mm: Triple
) -> Iterator[Surfaces]:
    """Surfaces of each label, one at a time."""
    if truth.shape != prediction.shape:
        raise GeometryError(
            f"The truth has shape {truth.shape} but the prediction {prediction.shape} (z, y, x). "
            "Bring both onto one grid first."
        )
    flat = truth.shape[0] == 1  # the volume as it is given, not only the box
    box = _box(truth, prediction)
    box = (0, *box[1:]) if flat else box
    truth, prediction = truth[box], prediction[box]
    lattice = Lattice(truth.shape, spacing_mm[1:] if flat else spacing_mm)
    sizes, marks = areas(lattice.spacing_mm), lattice.marks()
    sides = elements(truth, lattice), elements(prediction, lattice)
    for label in labels:
        true, found = (side.get(label, NOTHING) for side in sides)
        yield Surfaces(
            truth=_surface(true.at, sizes[true.codes], found.at, lattice, marks),
            prediction=_surface(found.at, sizes[found.codes], true.at, lattice, marks),
        )


def _box(*volumes: np.ndarray) -> tuple[slice, ...]:
    """The smallest box around all that is not background."""
    box = []
    for axis in range(3):
        others = tuple({0, 1, 2} - {axis})
        used = np.flatnonzero(np.any([volume.any(axis=others) for volume in volumes], axis=0))
        box.append(slice(used[0], used[-1] + 1) if used.size else slice(0, 0))
    return tuple(box)


def _surface(
    at: np.ndarray, sizes: np.ndarray, targets: np.ndarray, lattice: Lattice, marks: np.ndarray
) -> Surface:
    """Elements by their distance to the nearest target; `marks` is clear before and after.

    Most surfaces are a few voxels apart, so all elements look around themselves in step, at the
    nearest corners first. A tree is asked only for those that find no target nearby.
    """
    if not targets.size:
        return Surface(np.full(at.size, inf), sizes)
    distances, areas = [], []
    marks[targets] = True
    for distance, steps in lattice.shells:
        if not at.size:
            break
        hit = marks[at + steps[0]]
        for step in steps[1:]:
            hit |= marks[at + step]
        if hit.any():
            distances.append(distance)
            areas.append(sizes[hit].sum())
            at, sizes = at[~hit], sizes[~hit]
    marks[targets] = False
    far = _far(at, targets, lattice)
    order = np.argsort(far)
    return Surface(np.append(distances, far[order]), np.append(areas, sizes[order]))


def _far(at: np.ndarray, targets: np.ndarray, lattice: Lattice) -> np.ndarray:
    """Distance in mm of each element to its nearest target, by a k-d tree.

    Large leaves and cells split in the middle suit points on a lattice, many of which are equally
    near: up to 30 times faster than the defaults, and about as fast as a distance transform at
    worst, in far less memory.
    """
    if not at.size:
        return np.empty(0)
    points, goals = lattice.indices(at), lattice.indices(targets)
    tree = KDTree(goals * lattice.spacing_mm, leafsize=64, balanced_tree=False, compact_nodes=False)
    _, nearest = tree.query(points * lattice.spacing_mm)
    return lattice.lengths_mm(points - goals[nearest])
