"""All scores of a case, under each protocol, by hand."""

import numpy as np
import pytest

from segttt.config.report import Scoring
from segttt.metrics.score import score

SPACING = (3.0, 1.5, 1.5)


def block(shape, *boxes):
    """A label map with value i + 1 in box i, given as (z0, z1, y0, y1, x0, x1)."""
    values = np.zeros(shape, np.uint8)
    for value, (z0, z1, y0, y1, x0, x1) in enumerate(boxes, start=1):
        values[z0:z1, y0:y1, x0:x1] = value
    return values


def scored(truth, prediction, labels=(1,), spacing=SPACING, **fields):
    result = score("case", (truth, prediction), labels, spacing, Scoring(**fields))
    return {one.label: one for one in result.labels}


def test_a_shift_by_one_slice():
    truth, prediction = block((9, 9, 9), (2, 6, 2, 7, 2, 7)), block((9, 9, 9), (3, 7, 2, 7, 2, 7))
    one = scored(truth, prediction, default_tolerance_mm=2.9)[1]
    assert one.dice == pytest.approx(3 / 4)
    assert one.hd95_mm == pytest.approx(3.0)
    assert 0 < one.nsd < 1
    assert one.volume_error_ml == 0
    assert scored(truth, prediction, default_tolerance_mm=3.0)[1].nsd == 1.0
    bigger = scored(truth, block((9, 9, 9), (2, 7, 2, 7, 2, 7)))[1]
    assert bigger.volume_error_ml == pytest.approx(25 * 3 * 1.5 * 1.5 / 1000)


def test_each_label_has_its_own_tolerance():
    truth = block((9, 20, 9), (2, 6, 2, 7, 2, 7), (2, 6, 12, 17, 2, 7))
    prediction = np.roll(truth, 1, axis=1)
    found = scored(truth, prediction, (1, 2), tolerances_mm={1: 1.5})
    assert (found[1].tolerance_mm, found[1].nsd) == (1.5, 1.0)
    assert found[2].tolerance_mm == 1.0
    assert found[2].nsd < 1


def test_without_surfaces_there_is_the_overlap_alone():
    truth = block((4, 4, 4), (1, 3, 1, 3, 1, 3))
    one = scored(truth, truth, surfaces=False)[1]
    assert (one.dice, one.nsd, one.hd95_mm, one.volume_error_ml) == (1.0, None, None, None)


EMPTY, FULL = np.zeros((4, 4, 4), np.uint8), block((4, 4, 4), (1, 3, 1, 3, 1, 3))


@pytest.mark.parametrize(
    ("protocol", "both", "invented", "missed"),
    [
        ("strict", (None, None), (0, 0), (0, 0)),
        ("nnunet", (None, None), (0, 0), (0, 0)),
        ("paper", (1, 1), (0, 0), (0, 0)),
        ("flare22", (1, 1), (0, 0), (0, 0)),
    ],
)
def test_empty_labels(protocol, both, invented, missed):
    pairs = ((EMPTY, EMPTY), (EMPTY, FULL), (FULL, EMPTY))
    for (truth, prediction), expected in zip(pairs, (both, invented, missed), strict=True):
        one = scored(truth, prediction, protocol=protocol)[1]
        assert (one.dice, one.nsd) == expected


def test_flare22_gives_no_surface_credit_without_overlap():
    truth, prediction = block((9, 9, 9), (2, 4, 2, 7, 2, 7)), block((9, 9, 9), (4, 6, 2, 7, 2, 7))
    ours = scored(truth, prediction, default_tolerance_mm=6.0)[1]
    assert (ours.dice, ours.nsd) == (0.0, 1.0)
    assert scored(truth, prediction, default_tolerance_mm=6.0, protocol="flare22")[1].nsd == 0


def test_the_papers_crop_hides_overshoot_and_the_last_slice():
    """Missing the last slice scores 1, and so does going on beyond it."""
    truth = block((12, 8, 8), (2, 7, 2, 6, 2, 6))
    for prediction in (
        block((12, 8, 8), (2, 6, 2, 6, 2, 6)),
        block((12, 8, 8), (1, 11, 2, 6, 2, 6)),
    ):
        ours = scored(truth, prediction)[1]
        theirs = scored(truth, prediction, protocol="paper", z_crop_labels=(1,))[1]
        assert ours.dice < 0.95
        assert (theirs.dice, theirs.nsd) == (1.0, 1.0)
        assert scored(truth, prediction, z_crop_labels=(1,))[1] == ours


def test_the_crop_of_a_single_slice_leaves_no_value():
    """The scripts divide by nothing there; FLARE's looks for a missing prediction before."""
    truth = block((6, 8, 8), (2, 3, 2, 6, 2, 6))
    for protocol, prediction, expected in (
        ("paper", truth, None),
        ("paper", 0 * truth, None),
        ("flare22", truth, None),
        ("flare22", 0 * truth, 0.0),
    ):
        one = scored(truth, prediction, protocol=protocol, z_crop_labels=(1,))[1]
        assert (one.dice, one.nsd) == (expected, expected)
        assert (one.n_truth, one.hd95_mm) == (16, None)
    assert scored(truth, truth, z_crop_labels=(1,))[1].dice == 1.0


def test_a_crop_to_one_slice_stays_a_volume():
    truth = block((6, 8, 8), (2, 4, 2, 6, 2, 6))
    prediction = block((6, 8, 8), (2, 4, 2, 6, 2, 5))
    one = scored(truth, prediction, protocol="paper", z_crop_labels=(1,))[1]
    assert one.n_truth == 16
    assert one.volume_error_ml == pytest.approx(-4 * 6.75 / 1000)
    alone = scored(truth[2:3], prediction[2:3], spacing=SPACING, protocol="paper")[1]
    assert one.nsd == round(alone.nsd, 4)  # both as a slab with top and bottom


def test_paper_scores_have_four_decimals():
    truth, prediction = block((9, 9, 9), (2, 5, 2, 7, 2, 7)), block((9, 9, 9), (3, 7, 2, 6, 2, 7))
    exact, rounded = (scored(truth, prediction, protocol=p)[1] for p in ("strict", "paper"))
    assert exact.dice != rounded.dice == round(exact.dice, 4)


def test_pictures_are_contours_but_volumes_of_one_slice_for_the_paper():
    """A disc shifted by three pixels: the papers' script counts mostly area."""
    y, x = np.mgrid[:64, :64]
    truth = (((y - 30) ** 2 + (x - 28) ** 2) < 20**2).astype(np.uint8)[None]
    prediction = np.roll(truth, 6, axis=2)
    ours = scored(truth, prediction, spacing=(1.0, 1.0, 1.0), default_tolerance_mm=2.0)[1]
    theirs = scored(
        truth, prediction, spacing=(1.0, 1.0, 1.0), default_tolerance_mm=2.0, protocol="paper"
    )[1]
    assert ours.volume_error_ml is None
    assert ours.nsd < 0.6
    assert theirs.nsd > 0.85
    nowhere = scored(truth, truth, (1, 2), spacing=(1.0, 1.0, 1.0), protocol="paper")[2]
    assert nowhere.dice is None
