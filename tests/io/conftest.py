"""Small scans on disk."""

from itertools import permutations, product

import numpy as np
import pytest

from segttt.geometry.grid import Grid
from segttt.io.images import write_image

CANONICAL = np.eye(3)[::-1]  # rows: array axes z, y, x; columns: left, posterior, superior
ORIENTATIONS = [
    (order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)
]


@pytest.fixture(params=ORIENTATIONS, ids=lambda one: "".join(map(str, one[0])) + str(one[1]))
def any_direction(request):
    """One of the 48 ways in which three axes can lie along the patient's."""
    order, signs = request.param
    return CANONICAL[list(order)] * np.array(signs)[:, None]


def grid_of(shape, direction=CANONICAL, spacing=(3.0, 0.75, 1.5), origin=(-12.5, 40.25, 7.0)):
    rows = tuple(tuple(float(v) for v in row) for row in direction)
    return Grid(tuple(shape), tuple(float(v) for v in spacing), tuple(origin), rows)


@pytest.fixture
def voxels():
    """Random whole numbers that tell every voxel of a small scan from its neighbours."""
    return np.random.default_rng(7).integers(-900, 900, (5, 6, 7)).astype(np.int16)


@pytest.fixture
def save(tmp_path):
    """Write an array as a scan and return its path."""

    def saved(name, array, grid=None):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, array, grid or grid_of(array.shape))
        return path

    return saved
