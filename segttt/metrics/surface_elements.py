"""Size of the surface in every neighbourhood of voxels, by marching cubes."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import product
from math import hypot
from operator import add

import numpy as np
from jaxtyping import Float

Point = tuple[int, ...]
Vector = tuple[float, ...]
SQUARE = ((0, 0), (0, 1), (1, 1), (1, 0))  # in the order around it


def areas(spacing_mm: tuple[float, ...]) -> Float[np.ndarray, " codes"]:
    """Area in mm² of the surface in each neighbourhood of a corner; length in mm in 2D.

    The code of the 2 x 2 x 2 (2 x 2) voxels that meet at a corner has a bit for each, set inside
    the mask, the first voxel highest. The surface is that of marching cubes (Lorensen and Cline,
    1987), through the middle between voxels, as Nikolov et al. (arXiv 1809.04430) measure it.
    """
    face = np.prod(spacing_mm) / np.asarray(spacing_mm)
    return np.linalg.norm(_normals(len(spacing_mm)) * face, axis=-1).sum(-1)


@cache
def _normals(rank: int) -> Float[np.ndarray, "codes pieces rank"]:
    """Normals of the pieces of surface of each code, as long as a piece is large, in voxels."""
    pieces = {2: _segments, 3: _triangles}[rank]
    corners = list(product((0, 1), repeat=rank))
    table = np.zeros((2 ** len(corners), 4, rank))
    for code, inside in enumerate(product((False, True), repeat=len(corners))):
        normals = pieces(dict(zip(corners, inside, strict=True)))
        table[code, : len(normals)] = np.reshape(normals, (-1, rank))
    return table


def _segments(inside: dict[Point, bool]) -> list[Vector]:
    """Normals of the contour in a square."""
    lines = _contour(SQUARE, inside, alone=True)
    return [((b[1] - a[1]) / 2, (a[0] - b[0]) / 2) for a, b in lines]


def _triangles(inside: dict[Point, bool]) -> list[Vector]:
    """Normals of the surface in a cube.

    Where a face has both kinds of corners crosswise, those of the kind that is rarer in the cube
    stay apart. A mask and its complement so have the same surface.
    """
    rarer = sum(inside.values()) <= 4
    lines = []
    for axis, at in product(range(3), (0, 1)):
        face = [(*corner[:axis], at, *corner[axis:]) for corner in SQUARE]
        lines += _contour(face, inside, alone=rarer)
    return [normal for loop in _loops(lines) for normal in _widest_fan(loop)]


def _contour(
    square: Sequence[Point], inside: dict[Point, bool], *, alone: bool
) -> list[tuple[Point, Point]]:
    """Lines that part inside from outside in a square, by their ends in half voxels.

    Where the kinds alternate around the square, each corner of the kind `alone` is cut off.
    """
    kinds = [inside[corner] for corner in square]
    middles = [tuple(map(add, square[i - 1], square[i])) for i in range(4)]
    crossed = [i for i in range(4) if kinds[i - 1] != kinds[i]]
    if len(crossed) == 4:
        return [(middles[i], middles[(i + 1) % 4]) for i in range(4) if kinds[i] == alone]
    return [(middles[crossed[0]], middles[crossed[1]])] if crossed else []


def _loops(lines: Sequence[tuple[Point, Point]]) -> Iterator[list[Point]]:
    """Join lines to closed polygons."""
    links = defaultdict(list)
    for a, b in lines:
        links[a].append(b)
        links[b].append(a)
    while links:
        loop = [next(iter(links))]
        while after := [point for point in links.pop(loop[-1]) if point in links]:
            loop.append(after[0])
        yield loop


def _widest_fan(loop: Sequence[Point]) -> list[Vector]:
    """Normals of the triangles that fan out from one point of a polygon, of the largest area.

    Polygons of five and six points are not flat, so the area depends on the point.
    """
    fans = [
        [_normal(loop[i], loop[i - j - 1], loop[i - j - 2]) for j in range(len(loop) - 2)]
        for i in range(len(loop))
    ]
    return max(fans, key=lambda normals: sum(hypot(*normal) for normal in normals))


def _normal(a: Point, b: Point, c: Point) -> Vector:
    """Half the cross product of b - a and c - a, from half voxels to voxels."""
    (u, v, w), (x, y, z) = [[(p - q) / 2 for p, q in zip(end, a, strict=True)] for end in (b, c)]
    return ((v * z - w * y) / 2, (w * x - u * z) / 2, (u * y - v * x) / 2)
