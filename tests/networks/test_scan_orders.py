"""The sixteen scan orders: complete, and as the paper draws them."""

import subprocess
import sys
from itertools import pairwise
from math import prod

import pytest
import torch

from segttt.errors import UsageError
from segttt.networks.scan_names import NAMED, orders
from segttt.networks.scan_orders import inverse, scan

LETTERS = tuple("abcdefghijklmnop")
FLAT = tuple("abcdnop")
GRIDS = [(1, 1, 1), (2, 3, 4), (5, 4, 3), (3, 9, 10), (1, 1, 7), (6, 17, 8)]
GRIDS_2D = [(1, 1), (3, 4), (9, 10), (16, 8)]
ALL = [(letter, grid) for grid in GRIDS for letter in LETTERS]
ALL += [(letter, grid) for grid in GRIDS_2D for letter in FLAT]


def points(order, grid):
    """The voxels in the order in which they are read."""
    index = scan(order, grid).voxels
    return [tuple(int(i) for i in torch.unravel_index(one, grid)) for one in index]


@pytest.mark.parametrize(("order", "grid"), ALL)
def test_every_order_visits_every_voxel_once_and_its_inverse_undoes_it(order, grid):
    index = scan(order, grid).voxels
    raster = torch.arange(prod(grid))
    assert torch.equal(index.sort().values, raster)
    assert torch.equal(index[inverse(index)], raster)
    assert torch.equal(inverse(index)[index], raster)


@pytest.mark.parametrize(("order", "grid"), ALL)
def test_a_minus_reverses(order, grid):
    assert torch.equal(scan("-" + order, grid).voxels, scan(order, grid).voxels.flip(0))
    assert scan("-" + order, grid).sequences == scan(order, grid).sequences


@pytest.mark.parametrize(("one", "other"), ["ab", "cd", "ef", "gh", "ij", "kl"])
def test_the_second_of_a_pair_is_the_reverse_of_the_first(one, other):
    assert torch.equal(scan(other, (2, 3, 4)).voxels, scan("-" + one, (2, 3, 4)).voxels)
    assert not torch.equal(scan(other, (2, 3, 4)).voxels, scan(one, (2, 3, 4)).voxels)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        # A grid of 2 slices, 2 rows and 3 columns: voxel = 6 * slice + 3 * row + column.
        ("a", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
        ("c", [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]),
        ("e", [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]),
        ("g", [0, 6, 3, 9, 1, 7, 4, 10, 2, 8, 5, 11]),
        ("i", [0, 1, 2, 6, 7, 8, 3, 4, 5, 9, 10, 11]),
        ("k", [0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11]),
        ("m", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
        ("n", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
        ("o", [0, 1, 2, 5, 4, 3, 9, 10, 11, 8, 7, 6]),
        ("p", [0, 1, 3, 2, 4, 5, 6, 7, 9, 8, 10, 11]),
    ],
)
def test_small_sequences(order, expected):
    assert scan(order, (2, 2, 3)).voxels.tolist() == expected


@pytest.mark.parametrize("axes", ["zyx", "zxy", "xzy", "xyz", "yzx", "yxz"])
def test_an_order_of_axes_is_that_of_permuting_them(axes):
    raster = torch.arange(2 * 3 * 4).view(2, 3, 4)
    letter = {"zyx": "a", "zxy": "c", "xzy": "e", "xyz": "g", "yzx": "i", "yxz": "k"}[axes]
    permuted = raster.permute(["zyx".index(axis) for axis in axes]).flatten()
    assert torch.equal(scan(letter, (2, 3, 4)).voxels, permuted)


def test_only_m_cuts_the_map_and_each_part_is_a_slice():
    one = scan("m", (3, 4, 5))
    assert one.sequences == 3
    for number, part in enumerate(one.voxels.chunk(one.sequences)):
        assert set((part // 20).tolist()) == {number}
    assert {scan(letter, (3, 4, 5)).sequences for letter in set(LETTERS) - {"m"}} == {1}


def test_windows_of_n_follow_each_other_with_remainders_at_the_border():
    """5 x 9 x 10 voxels make 2 x 2 x 2 windows, cut at the border."""
    read = points("n", (5, 9, 10))
    windows = [(z // 4, y // 8, x // 8) for z, y, x in read]
    visited = [windows[0]] + [after for before, after in pairwise(windows) if before != after]
    assert visited == sorted(visited) == sorted(set(windows))
    assert len(visited) == 8
    for window in visited:
        inside = [point for point, its in zip(read, windows, strict=True) if its == window]
        assert inside == sorted(inside)


def test_windows_of_n_in_2d():
    left = [(y, x) for y in range(2) for x in range(8)]
    right = [(y, x) for y in range(2) for x in range(8, 10)]
    assert points("n", (2, 10)) == left + right
    assert points("n", (10, 2))[16:] == [(8, 0), (8, 1), (9, 0), (9, 1)]


@pytest.mark.parametrize("grid", [*GRIDS, *GRIDS_2D, (2, 2, 2), (3, 3, 3), (4, 2, 5), (4, 3, 1)])
def test_zigzag_always_steps_to_a_neighbour(grid):
    for one, other in pairwise(points("o", grid)):
        assert sum(abs(i - j) for i, j in zip(one, other, strict=True)) == 1


def test_inclined_runs_along_antidiagonals_from_top_right():
    assert points("p", (3, 3)) == [
        *[(0, 0)],
        *[(0, 1), (1, 0)],
        *[(0, 2), (1, 1), (2, 0)],
        *[(1, 2), (2, 1)],
        *[(2, 2)],
    ]
    assert [z for z, _, _ in points("p", (2, 3, 4))] == [0] * 12 + [1] * 12


@pytest.mark.parametrize("order", FLAT)
def test_a_picture_is_one_slice(order):
    assert torch.equal(scan(order, (9, 10)).voxels, scan(order, (1, 9, 10)).voxels)


def test_results_are_kept_and_ordinary_tensors():
    scan.cache_clear()
    with torch.device("meta"), torch.inference_mode():
        first = scan("o", (2, 3, 4))
    assert first.voxels.device.type == "cpu"
    assert not first.voxels.is_inference()
    assert scan("o", (2, 3, 4)) is first


def test_sets_are_those_of_the_table():
    assert orders("B1", 3) == ("a",)
    assert orders("B2", 2) == ("a", "b")
    assert orders("B4", 3) == tuple("abcdef")
    assert orders("B5", 3) == tuple("abcdefghijkl")
    assert [orders(f"B{number}", 3) for number in (6, 7, 8, 9)] == [
        (letter, "-" + letter) for letter in "mnop"
    ]
    assert len(NAMED) == 9


def test_orders_may_be_given_one_by_one():
    assert orders(("a", "-n", "k"), 3) == ("a", "-n", "k")
    assert orders("p", 3) == ("p",)
    assert orders(tuple(FLAT), 2) == FLAT


@pytest.mark.parametrize("names", ["q", "B0", "--a", "", "ab", ("a", "B2"), ("a", "A"), ("-",)])
def test_unknown_names_are_refused(names):
    wrong = names if isinstance(names, str) else names[-1]
    with pytest.raises(UsageError, match=f"'{wrong}' is no scan order.*from a to p.*B1 to B9"):
        orders(names, 3)


def test_no_order_is_refused():
    with pytest.raises(UsageError, match="none was given"):
        orders((), 3)


@pytest.mark.parametrize(
    ("names", "advice"),
    [
        (("e",), "c instead of e"),
        (("f",), "-c instead of f"),
        (("a", "-g", "h"), "-c instead of -g, -c instead of h"),
        (("i", "j"), "a instead of i, -a instead of j"),
        ("B3", "a instead of k"),
        ("B6", "a instead of m, -a instead of -m"),
    ],
)
def test_orders_along_the_depth_are_refused_in_2d_with_what_to_use(names, advice):
    with pytest.raises(UsageError, match=advice):
        orders(names, 2)
    assert orders(names, 3)


@pytest.mark.parametrize("letter", sorted(set(LETTERS) - set(FLAT)))
def test_the_advised_order_is_the_same_in_2d(letter):
    with pytest.raises(UsageError) as refusal:
        orders((letter,), 2)
    advised = str(refusal.value).split("Use ")[1].split(" ")[0]
    assert torch.equal(scan(letter, (3, 4)).voxels, scan(advised, (3, 4)).voxels)


def test_names_load_without_torch():
    code = "import sys, segttt.networks.scan_names; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
