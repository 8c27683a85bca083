"""Areas of all neighbourhoods against the textbook's cases, turned and mirrored."""

from functools import cache
from itertools import permutations, product

import numpy as np
import pytest

from segttt.metrics.surface_elements import areas

# The cases of marching cubes: corners inside (number 4z + 2y + x) and triangles, whose points are
# the middles of edges, named by their two corners. The mirror image of one case is not listed.
CASES = {
    "": "",
    "0": "01-02-04",
    "01": "02-13-15 02-15-04",
    "03": "01-02-04 13-23-37",
    "07": "01-02-04 37-57-67",
    "012": "04-15-26 13-15-26 13-23-26",
    "017": "02-13-15 02-15-04 37-57-67",
    "124": "01-13-15 02-23-26 04-45-46",
    "0123": "04-15-37 04-37-26",
    "0124": "13-15-45 13-45-46 13-46-26 13-26-23",
    "0167": "02-13-15 02-15-04 26-37-57 26-57-46",
    "0137": "02-04-15 02-15-57 02-57-67 02-67-23",
    "0127": "04-15-26 13-15-26 13-23-26 37-57-67",
    "0356": "01-02-04 13-23-37 15-45-57 26-46-67",
}
AWKWARD = [(1.0, 1.0, 1.0), (0.7, 0.7, 5.0), (2.5, 0.78125, 0.78125), (1e-3, 30.0, 0.4)]


@cache
def triangles_of_codes():
    """Triangles of each neighbourhood in voxels, from the cases by the symmetries of the cube."""
    table = {}
    for axes, mirrored in product(permutations(range(3)), product((0, 1), repeat=3)):

        def place(number, axes=axes, mirrored=mirrored):
            bits = [int(number) >> 2 & 1, int(number) >> 1 & 1, int(number) & 1]
            return tuple(abs(bits[axis] - flip) for axis, flip in zip(axes, mirrored, strict=True))

        for corners, names in CASES.items():
            inside = np.zeros((2, 2, 2), bool)
            for number in corners:
                inside[place(number)] = True
            middles = [np.add(place(a), place(b)) / 2 for a, b in names.replace("-", " ").split()]
            for mask in (inside, ~inside):
                table[code_of(mask)] = np.reshape(middles, (-1, 3, 3))
    return table


def code_of(neighbourhood):
    return int("".join("01"[voxel] for voxel in neighbourhood.ravel().astype(int)), 2)


def textbook_areas(spacing):
    """Area (3D) or length (2D) of each code, triangle by triangle and line by line."""
    if len(spacing) == 2:
        cut = np.hypot(*spacing) / 2
        crossed = {0: 0, 15: 0, 3: spacing[1], 12: spacing[1], 5: spacing[0], 10: spacing[0]}
        return np.array(
            [crossed.get(code, 2 * cut if code in (6, 9) else cut) for code in range(16)]
        )
    sizes = np.zeros(256)
    for code, triangles in triangles_of_codes().items():
        a, b, c = (triangles[:, i] * spacing for i in range(3))
        sizes[code] = np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2
    return sizes


def test_the_cases_cover_all_neighbourhoods():
    assert sorted(triangles_of_codes()) == list(range(256))


@pytest.mark.parametrize("spacing", [*AWKWARD, (1.0, 1.0), (0.3, 4.0)])
def test_areas_equal_the_triangles_of_the_textbook(spacing):
    np.testing.assert_allclose(areas(spacing), textbook_areas(spacing), rtol=1e-14)


def test_areas_by_hand():
    """A single voxel is an octahedron of side 1/sqrt(2); a plane has the area of a voxel's face."""
    assert 8 * areas((1.0, 1.0, 1.0))[1] == pytest.approx(2 * np.sqrt(3) / 2, rel=1e-15)
    planes = areas((2.0, 3.0, 5.0))[[0b00001111, 0b00110011, 0b01010101]]
    assert planes.tolist() == pytest.approx([15, 10, 6], rel=1e-15)
    assert areas((2.0, 3.0))[[0b0011, 0b0101]].tolist() == [3, 2]


@pytest.mark.parametrize("spacing", [*AWKWARD, (0.3, 4.0)])
def test_a_mask_and_its_complement_have_one_surface(spacing):
    np.testing.assert_allclose(areas(spacing), areas(spacing)[::-1], rtol=1e-15)
    assert areas(spacing)[0] == 0
    assert (areas(spacing)[1:-1] > 0).all()
