"""Classes back to cells: exact on perfect classes, steady under the errors that networks make."""

import imageio.v3 as iio
import numpy as np
import pytest
from scipy import ndimage

from segttt.preprocessing.cells import decode, decode_paper
from segttt.preprocessing.instances import interior_and_boundary


def discs(radius, pitch, rows=5):
    """A square lattice of numbered discs; of two that overlap the first keeps the pixels."""
    side = (rows - 1) * pitch + 2 * radius + 5
    y, x = np.mgrid[:side, :side]
    cells = np.zeros((side, side), np.int32)
    for number in range(rows**2):
        centre = radius + 2 + pitch * np.array(divmod(number, rows))
        disc = np.hypot(y - centre[0], x - centre[1]) <= radius
        cells[disc & (cells == 0)] = number + 1
    return cells


def f1(truth, cells, threshold=0.5):
    """By its definition; above 0.5 no cell has two partners."""
    pairs = np.zeros((truth.max() + 1, cells.max() + 1))
    np.add.at(pairs, (truth.ravel(), cells.ravel()), 1)
    union = pairs.sum(1, keepdims=True) + pairs.sum(0, keepdims=True) - pairs
    tp = (pairs[1:, 1:] > threshold * union[1:, 1:]).sum()
    return 2 * tp / (np.count_nonzero(np.bincount(truth.ravel())[1:]) + cells.max())


def perfect(cells):
    return interior_and_boundary(cells[None])[0]


@pytest.mark.parametrize("gap", [8, 2, 1, 0, -1])
@pytest.mark.parametrize("radius", [6, 7, 8, 12, 20])
def test_no_cell_of_a_perfect_map_is_lost(radius, gap):
    truth = discs(radius, 2 * radius + gap, rows=4)
    assert f1(truth, decode(perfect(truth)), 0.8) == 1


@pytest.mark.parametrize("radius", [2, 3, 4, 5, 6, 9, 14, 20])
def test_cells_that_lie_apart_come_back_as_they_were(radius):
    truth = discs(radius, 2 * radius + 5)
    cells = decode(perfect(truth))
    assert cells.max() == 25
    assert f1(truth, cells, 0.95) == 1


@pytest.mark.parametrize(("radius", "expected"), [(4, 0), (5, 0), (6, 0), (7, 1), (12, 1)])
def test_interiors_alone_lose_small_cells(radius, expected):
    truth = discs(radius, 2 * radius + 8)
    cells = decode_paper(perfect(truth))
    assert f1(truth, cells) == expected
    assert not (cells[perfect(truth) != 1]).any()


def test_a_small_cell_beside_a_large_one():
    y, x = np.mgrid[:40, :60]
    truth = (np.hypot(y - 20, x - 20) <= 14).astype(np.int32)
    truth[(np.hypot(y - 20, x - 39) <= 4) & (truth == 0)] = 2
    classes = perfect(truth)
    assert not (classes[:, 35:] == 1).any()  # its interior was dropped
    assert f1(truth, decode(classes), 0.85) == 1


def test_a_gap_between_large_cells_is_none():
    truth = discs(12, 25, rows=2)
    cells = decode(perfect(truth))
    assert cells.max() == 4
    wide = ndimage.binary_dilation(perfect(truth) == 2) & (perfect(truth) > 0)
    assert decode(np.where(wide, 2, perfect(truth))).max() == 4


def test_by_hand():
    classes = np.zeros((12, 22), np.uint8)
    classes[1:11, 1:11] = 2
    classes[4:8, 4:8] = 1
    classes[2:9, 13:20] = 2  # a cell without interior
    classes[10, 20] = 2  # a speck
    expected = np.zeros((12, 22), int)
    expected[2:10, 2:10] = 1
    expected[3:8, 14:19] = 2
    np.testing.assert_array_equal(decode(classes), expected)
    interior = np.where(classes == 1, 1, 0)
    np.testing.assert_array_equal(decode_paper(classes), interior)


def test_interior_at_the_background_is_kept():
    classes = np.zeros((9, 9), np.int16)
    classes[2:7, 2:7] = 1
    np.testing.assert_array_equal(decode(classes), classes)


def test_interiors_that_meet_at_a_corner_are_one_cell():
    classes = np.zeros((10, 10), int)
    classes[1:5, 1:5] = classes[5:9, 5:9] = 1
    assert decode_paper(classes).max() == 1
    assert decode(classes).max() == 1


def test_cells_at_the_edge_of_the_picture():
    truth = discs(9, 22)[9:, 9:]
    assert f1(truth, decode(perfect(truth)), 0.9) == 1


def test_small_errors_of_a_network_cost_little():
    truth = discs(6, 14, rows=6)
    noise = np.random.default_rng(0).normal(size=(3, *truth.shape))
    noise = np.stack([ndimage.gaussian_filter(one, 1) for one in noise])
    shares = [ndimage.gaussian_filter((perfect(truth) == k).astype(float), 1) for k in range(3)]
    classes = np.argmax(np.stack(shares) + 0.5 * noise, axis=0)
    assert f1(truth, decode(classes)) > 0.97
    assert f1(truth, decode_paper(classes)) < 0.5


def test_nothing_and_numbers():
    nothing = np.zeros((5, 6), np.int16)
    for decoder in (decode, decode_paper):
        assert not decoder(nothing).any()
    cells = decode(perfect(discs(8, 18)))
    assert np.unique(cells).tolist() == list(range(26))


def test_a_picture_is_one_slice():
    classes = interior_and_boundary(discs(7, 15)[None])
    for decoder in (decode, decode_paper):
        np.testing.assert_array_equal(decoder(classes)[0], decoder(classes[0]))


def test_a_volume_keeps_a_cell_in_one_piece():
    z, y, x = np.mgrid[:21, :21, :44]
    truth = (np.sqrt((z - 10) ** 2 + (y - 10) ** 2 + (x - 11) ** 2) <= 8.5).astype(np.int32)
    truth[np.sqrt((z - 10) ** 2 + (y - 10) ** 2 + (x - 30) ** 2) <= 8.5] = 2
    cells = decode(interior_and_boundary(truth))
    assert cells.max() == 2
    assert f1(truth, cells, 0.95) == 1


def test_real_nuclei(shared_data):
    files = sorted((shared_data / "nuclei" / "labelsTr").glob("*.png"))[:20]
    truths = [iio.imread(path).astype(np.int32) for path in files]
    truths = [truth[:360, :360] for truth in truths]
    ours = [f1(truth, decode(perfect(truth))) for truth in truths]
    papers = [f1(truth, decode_paper(perfect(truth))) for truth in truths]
    assert np.mean(ours) > 0.98
    assert min(ours) > 0.9
    assert np.mean(papers) < 0.85
