"""A cohort of synthetic CT scans with labelled organs, to try everything without patient data."""

import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
from jaxtyping import Int16, UInt8
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from segttt.cases import Orientation
from segttt.data.anatomy import AIR_HU, LABELS, Ellipsoid, abdomen
from segttt.geometry.grid import Grid
from segttt.io.files import make_folder, write_text
from segttt.io.images import write_image
from segttt.io.orient import turn
from segttt.shapes import Shape3

FINER = (3, 2, 2)
"""Points per voxel and axis in rendering; their mean makes the partial volume."""
BODY = (0.5, 0.40, 0.45)
"""Half height, depth and width of the body as shares of the field of view."""
WAVES, BEND = 4, 0.035
"""Cosine waves per axis of the smooth deformation, and its deviation in half body sizes."""
TEXTURE_HU, NOISE_HU = 6.0, 11.0
CANONICAL = ("SI", "PA", "LR")
"""Where the array axes (z, y, x) run to, and the opposite."""
ORIENTATIONS = ("LPS", "RAS", "LAS", "RPI", "LPS", "RAS", "PSR", "LAI")
"""Where the axes (x, y, z) of a stored file run to."""
OBLIQUE, OBLIQUE_DEG = 4, 6.0
"""Which of those is tilted besides, and by how much."""


def phantom_case(
    seed: int, index: int, shape: Shape3 | None = None
) -> tuple[Int16[np.ndarray, "z y x"], UInt8[np.ndarray, "z y x"], Grid]:
    """Image (HU), labels and grid of one case in the canonical orientation.

    Equal arguments give equal voxels. Without `shape` it varies from case to case, as the spacing
    always does.
    """
    rng = np.random.default_rng([seed, index])
    z, y, x = (int(n) for n in rng.integers((28, 88, 88), (41, 113, 113)))
    grid = _grid(rng, shape or (z, y, x), oblique=index % len(ORIENTATIONS) == OBLIQUE)
    hu, label = _painted(rng, grid.shape)
    mean = sum(_points(hu)) / np.prod(FINER)
    texture = gaussian_filter(rng.standard_normal(grid.shape), 1.2)
    tissue = TEXTURE_HU * texture / texture.std() * (mean > -300)
    noisy = mean + tissue + NOISE_HU * rng.standard_normal(grid.shape)
    return np.clip(np.rint(noisy), -1024, 1500).astype(np.int16), _majority(label), grid


def orientation(letters: str) -> Orientation:
    """How to turn canonical axes so that (x, y, z) run to, say, "RAS"."""
    z, y, x = letters[::-1]
    first, second, third = (
        next(axis for axis, ends in enumerate(CANONICAL) if letter in ends) for letter in (z, y, x)
    )
    return Orientation((first, second, third), (z in "IAR", y in "IAR", x in "IAR"))


def write_phantom_cohort(
    folder: Path,
    *,
    cases: int = 16,
    test_cases: int = 4,
    seed: int = 0,
    shape: Shape3 | None = None,
) -> Path:
    """Write training and test cases as an nnU-Net raw dataset into `folder`, and return it.

    Files differ in shape, spacing, orientation (one in eight is oblique) and voxel type.
    """
    for index in range(cases + test_cases):
        part, name = "Tr" if index < cases else "Ts", f"phantom_{index:03d}"
        image, label, grid = phantom_case(seed, index, shape)
        voxels = image.astype(np.float32) if index % 3 == 1 else image
        way = orientation(ORIENTATIONS[index % len(ORIENTATIONS)])
        placed = grid.turned(way.order, way.flipped)
        for array, kind, suffix in ((voxels, "images", "_0000"), (label, "labels", "")):
            place = folder / f"{kind}{part}"
            make_folder(place)
            write_image(place / f"{name}{suffix}.nii.gz", turn(array, way), placed)
    description = {
        "name": "Phantom",
        "description": "Synthetic CT of a small abdomen",
        "channel_names": {"0": "CT"},
        "labels": {"background": 0} | {name: value for value, name in LABELS.items()},
        "numTraining": cases,
        "file_ending": ".nii.gz",
    }
    write_text(folder / "dataset.json", json.dumps(description, indent=1) + "\n")
    return folder


def _grid(rng: np.random.Generator, shape: Shape3, *, oblique: bool) -> Grid:
    """Slices about 3 mm apart, finer in the plane, the patient somewhere near the centre."""
    slices_mm, pixel_mm = float(rng.choice((2.5, 3.0, 3.5))), float(rng.integers(150, 200)) / 100
    angles = (OBLIQUE_DEG, -OBLIQUE_DEG / 2) if oblique else (0.0, 0.0)
    left, posterior, superior = Rotation.from_euler("xz", angles, degrees=True).as_matrix().T
    rows = [(float(a), float(b), float(c)) for a, b, c in (superior, posterior, left)]
    return Grid(
        shape=shape,
        spacing_mm=(slices_mm, pixel_mm, pixel_mm),
        origin_mm=(
            -pixel_mm * shape[2] / 2 + float(rng.integers(-20, 21)),
            -pixel_mm * shape[1] / 2 + float(rng.integers(-20, 21)),
            float(rng.integers(-300, 301)),
        ),
        direction=(rows[0], rows[1], rows[2]),
    )


def _painted(rng: np.random.Generator, shape: Shape3) -> tuple[np.ndarray, np.ndarray]:
    """HU and labels on FINER points, every tissue over the ones before it."""
    finer = [n * f for n, f in zip(shape, FINER, strict=True)]
    axes = [
        (((np.arange(n) + 0.5) / n - 0.5) / half).astype(np.float32)
        for n, half in zip(finer, BODY, strict=True)
    ]
    places, margin = _places(rng, axes)
    hu = np.full(finer, AIR_HU, dtype=np.float32)
    label = np.zeros(finer, dtype=np.uint8)
    for tissue in abdomen(rng):
        box = tuple(
            slice(*np.searchsorted(axis, (centre - reach - margin, centre + reach + margin)))
            for axis, centre, reach in zip(axes, tissue.centre, _reach(tissue), strict=True)
        )
        inside = _inside(tissue, places[:, *box])
        hu[box][inside] = tissue.hu
        label[box][inside] = tissue.label
    return hu, label


def _places(rng: np.random.Generator, axes: list[np.ndarray]) -> tuple[np.ndarray, float]:
    """Where each point lies in the anatomy, [3, z, y, x], and how far slow waves moved it."""
    waves = np.arange(WAVES)
    decay = 1 / (1 + sum(k**2 for k in np.meshgrid(waves, waves, waves)))
    bend = BEND * decay * rng.standard_normal((3, WAVES, WAVES, WAVES))
    for axis in axes:  # sums one wave axis and appends one spatial axis
        turns = np.pi * waves[:, None] * (np.arange(axis.size) + 0.5) / axis.size
        bend = np.tensordot(bend.astype(np.float32), np.cos(turns).astype(np.float32), axes=(1, 0))
    straight = np.meshgrid(*axes, indexing="ij", sparse=True)
    places = np.stack([along + moved for along, moved in zip(straight, bend, strict=True)])
    return places, float(np.abs(bend).max())


def _reach(tissue: Ellipsoid) -> tuple[float, float, float]:
    """Half the edges of the box around a tilted ellipsoid."""
    rz, ry, rx = tissue.radii
    c, s = np.cos(np.deg2rad(tissue.tilt_deg)), np.sin(np.deg2rad(tissue.tilt_deg))
    return float(np.hypot(rz * c, rx * s)), ry, float(np.hypot(rz * s, rx * c))


def _inside(tissue: Ellipsoid, places: np.ndarray) -> np.ndarray:
    z, y, x = (place - centre for place, centre in zip(places, tissue.centre, strict=True))
    if tissue.tilt_deg:
        c, s = np.cos(np.deg2rad(tissue.tilt_deg)), np.sin(np.deg2rad(tissue.tilt_deg))
        z, x = c * z + s * x, c * x - s * z
    rz, ry, rx = tissue.radii
    return (z / rz) ** 2 + (y / ry) ** 2 + (x / rx) ** 2 < 1


def _points(finer: np.ndarray) -> Iterator[np.ndarray]:
    """Each of the FINER points of all voxels, as arrays on the voxel grid."""
    for z, y, x in product(*map(range, FINER)):
        yield finer[z :: FINER[0], y :: FINER[1], x :: FINER[2]]


def _majority(label: np.ndarray) -> np.ndarray:
    """The label of more than half the points of a voxel."""
    majority = np.zeros([n // f for n, f in zip(label.shape, FINER, strict=True)], dtype=np.uint8)
    for value in LABELS:
        majority[sum(points == value for points in _points(label)) > np.prod(FINER) / 2] = value
    return majority
