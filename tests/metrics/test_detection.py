"""Lesions by hand: found, missed, invented, split, merged, small, and nothing at all."""

import numpy as np
import pytest
from pydantic import ValidationError

from segttt.config.report import LesionRule
from segttt.errors import GeometryError
from segttt.metrics.detection import detect, lesion_score


def volume(*boxes, label=1, shape=(6, 20, 20)):
    """Zeros with the boxes (z, y, x, side) filled."""
    values = np.zeros(shape, np.int16)
    for z, y, x, side in boxes:
        values[z : z + side, y : y + side, x : x + side] = label
    return values


def lesions(truth, prediction, **rule):
    """True, predicted, found, missed and false lesions of label 1."""
    (score,) = detect(truth, prediction, [1], LesionRule(**rule))
    return score.n_truth, score.n_prediction, score.found, score.missed, score.false


def test_by_hand():
    truth = volume((0, 0, 0, 3), (0, 10, 10, 2), (4, 15, 0, 1))
    prediction = volume((2, 2, 2, 2), (0, 10, 10, 2), (0, 0, 15, 2))
    (score,) = detect(truth, prediction, [1])
    assert lesions(truth, prediction) == (3, 3, 2, 1, 1)
    assert (score.sensitivity, score.precision, score.f1) == (2 / 3, 2 / 3, 2 / 3)
    (strict,) = detect(truth, prediction, [1], LesionRule(iou=0.1))
    assert lesions(truth, prediction, iou=0.1) == (3, 3, 1, 2, 2)
    assert (strict.sensitivity, strict.precision, strict.f1) == (1 / 3, 1 / 3, 1 / 3)


def test_a_corner_connects_unless_faces_are_asked_for():
    truth = volume((0, 0, 0, 2), (2, 2, 2, 2))
    assert lesions(truth, truth)[0] == 1
    assert lesions(truth, truth, connectivity="faces")[0] == 2
    apart = volume((0, 0, 0, 2), (3, 2, 2, 2))
    assert lesions(apart, apart)[0] == 2


def test_split_and_merged_lesions():
    one, two = volume((0, 0, 0, 5)), volume((0, 0, 0, 5))
    two[:, :, 2] = 0
    assert lesions(one, two) == (1, 2, 1, 0, 0)
    assert lesions(two, one) == (2, 1, 2, 0, 0)
    assert detect(one, two, [1])[0].f1 == detect(two, one, [1])[0].f1 == 1
    assert lesions(one, two, iou=0.1) == (1, 2, 1, 0, 1)
    assert lesions(two, one, iou=0.1) == (2, 1, 1, 1, 0)


def test_small_components_are_dropped_on_both_sides():
    truth = volume((0, 0, 0, 3), (0, 10, 10, 1))
    prediction = volume((0, 0, 0, 3), (0, 10, 10, 2), (0, 0, 15, 1))
    assert lesions(truth, prediction) == (2, 3, 2, 0, 1)
    assert lesions(truth, prediction, smallest_mm3=8) == (1, 2, 1, 0, 1)
    assert lesions(truth, prediction, smallest_mm3=8.1) == (1, 1, 1, 0, 0)
    (coarse,) = detect(truth, prediction, [1], LesionRule(smallest_mm3=8), voxel_mm3=8.0)
    assert (coarse.n_truth, coarse.n_prediction) == (2, 3)


def test_labels_are_scored_apart_and_in_order():
    truth = volume((0, 0, 0, 3)) + volume((0, 10, 10, 2), label=7)
    prediction = volume((0, 0, 0, 3), label=7)
    seven, one = detect(truth, prediction, [7, 1])
    assert (seven.n_truth, seven.n_prediction, seven.found, seven.false) == (1, 1, 0, 1)
    assert (one.n_truth, one.n_prediction, one.found, one.false) == (1, 0, 0, 0)


@pytest.mark.parametrize("iou", [None, 0.5])
@pytest.mark.parametrize(
    ("truth", "prediction", "expected"),
    [
        (volume(), volume(), (None, None, None)),
        (volume((0, 0, 0, 2)), volume(), (0, None, 0)),
        (volume(), volume((0, 0, 0, 2)), (None, 0, 0)),
    ],
)
def test_nothing_at_all(truth, prediction, expected, iou):
    (score,) = detect(truth, prediction, [1], LesionRule(iou=iou))
    assert (score.sensitivity, score.precision, score.f1) == expected


def test_place_in_the_volume_is_of_no_matter():
    truth, prediction = volume((0, 0, 0, 3)), volume((1, 1, 1, 3))
    moved = [np.roll(side, (2, 11, 13), (0, 1, 2)) for side in (truth, prediction)]
    for iou in (None, 8 / 46, 0.2):
        assert lesions(*moved, iou=iou) == lesions(truth, prediction, iou=iou)
    assert lesions(truth, prediction, iou=8 / 46)[2] == 1
    assert lesions(truth, prediction, iou=0.2)[2] == 0


def test_pictures():
    truth = volume((0, 0, 0, 1), (0, 1, 1, 1), shape=(1, 5, 5))
    assert detect(truth, truth, [1]) == detect(truth[0], truth[0], [1])
    assert lesions(truth, truth)[0] == 1
    assert lesions(truth, truth, connectivity="faces")[0] == 2


def test_counts_of_many_cases_are_pooled():
    pooled = lesion_score(n_truth=10, n_prediction=8, found=6, false=2)
    assert (pooled.missed, pooled.sensitivity, pooled.precision) == (4, 0.6, 0.75)
    assert pooled.f1 == pytest.approx(12 / 18)


def test_refusals():
    with pytest.raises(GeometryError, match="one grid"):
        detect(volume(), volume()[:3], [1])
    with pytest.raises(ValidationError, match="greater than 0"):
        LesionRule(iou=0.0)
