"""Lesions by hand: found, missed, invented, split, merged, and nothing at all."""

import numpy as np
import pytest

from segttt.errors import GeometryError, UsageError
from segttt.metrics.detection import detect


def volume(*boxes, label=1, shape=(6, 20, 20)):
    """Zeros with the boxes (z, y, x, side) filled."""
    values = np.zeros(shape, np.int16)
    for z, y, x, side in boxes:
        values[z : z + side, y : y + side, x : x + side] = label
    return values


def numbers(score):
    return score.n_truth, score.n_prediction, score.tp, score.fn, score.fp


def test_by_hand():
    truth = volume((0, 0, 0, 3), (0, 10, 10, 2), (4, 15, 0, 1))
    prediction = volume((2, 2, 2, 2), (0, 10, 10, 2), (0, 0, 15, 2))
    (score,) = detect(truth, prediction, [1])
    assert numbers(score) == (3, 3, 2, 1, 1)
    assert (score.sensitivity, score.precision, score.f1) == (2 / 3, 2 / 3, 2 / 3)
    (strict,) = detect(truth, prediction, [1], iou=0.1)
    assert numbers(strict) == (3, 3, 1, 2, 2)
    assert (strict.sensitivity, strict.precision, strict.f1) == (1 / 3, 1 / 3, 1 / 3)


def test_a_corner_connects():
    truth = volume((0, 0, 0, 2), (2, 2, 2, 2))
    assert detect(truth, truth, [1])[0].n_truth == 1
    apart = volume((0, 0, 0, 2), (3, 2, 2, 2))
    assert detect(apart, apart, [1])[0].n_truth == 2


def test_split_and_merged_lesions():
    one, two = volume((0, 0, 0, 5)), volume((0, 0, 0, 5))
    two[:, :, 2] = 0
    (split,) = detect(one, two, [1])
    assert numbers(split) == (1, 2, 1, 0, 0)
    (merged,) = detect(two, one, [1])
    assert numbers(merged) == (2, 1, 2, 0, 0)
    assert (split.f1, merged.f1) == (1, 1)
    assert numbers(detect(one, two, [1], iou=0.1)[0]) == (1, 2, 1, 0, 1)
    assert numbers(detect(two, one, [1], iou=0.1)[0]) == (2, 1, 1, 1, 0)


def test_labels_are_scored_apart_and_in_order():
    truth = volume((0, 0, 0, 3)) + volume((0, 10, 10, 2), label=7)
    prediction = volume((0, 0, 0, 3), label=7)
    seven, one = detect(truth, prediction, [7, 1])
    assert (seven.label, *numbers(seven)) == (7, 1, 1, 0, 1, 1)
    assert (one.label, *numbers(one)) == (1, 1, 0, 0, 1, 0)


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
    (score,) = detect(truth, prediction, [1], iou=iou)
    assert (score.sensitivity, score.precision, score.f1) == expected


def test_place_in_the_volume_is_of_no_matter():
    truth, prediction = volume((0, 0, 0, 3)), volume((1, 1, 1, 3))
    moved = [np.roll(side, (2, 11, 13), (0, 1, 2)) for side in (truth, prediction)]
    for iou in (None, 8 / 46, 0.2):
        assert detect(*moved, [1], iou=iou) == detect(truth, prediction, [1], iou=iou)
    assert detect(truth, prediction, [1], iou=8 / 46)[0].tp == 1
    assert detect(truth, prediction, [1], iou=0.2)[0].tp == 0


def test_pictures():
    truth = volume((0, 0, 0, 1), (0, 1, 1, 1), shape=(1, 5, 5))
    assert detect(truth, truth, [1]) == detect(truth[0], truth[0], [1])
    assert detect(truth, truth, [1])[0].n_truth == 1


def test_refusals():
    with pytest.raises(GeometryError, match="one grid"):
        detect(volume(), volume()[:3], [1])
    with pytest.raises(UsageError, match="IoU"):
        detect(volume(), volume(), [1], iou=0.0)
