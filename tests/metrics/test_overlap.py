"""Dice and IoU against counts by hand, by definition, and under symmetries."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segttt.errors import GeometryError
from segttt.metrics.overlap import CHUNK, overlap, score_case

LABELS = [1, 2, 7]
masks = arrays(np.uint8, (2, 3, 4), elements=st.sampled_from([0, 1, 2, 7, 9]))


def volume(*values, dtype=np.uint8):
    return np.array(values, dtype=dtype).reshape(1, 1, -1)


def test_counts_by_hand():
    truth = volume(0, 1, 1, 1, 2, 2, 0, 0)
    prediction = volume(1, 1, 1, 0, 2, 1, 0, 2)
    one, two = overlap(truth, prediction, [1, 2])
    assert (one.tp, one.fp, one.fn, one.n_truth, one.n_prediction) == (2, 2, 1, 3, 4)
    assert one.dice == pytest.approx(4 / 7, abs=0)
    assert one.iou == pytest.approx(2 / 5, abs=0)
    assert (two.tp, two.fp, two.fn, two.dice, two.iou) == (1, 1, 1, 0.5, 1 / 3)
    assert one.state == two.state == "ok"


@pytest.mark.parametrize(
    ("truth", "prediction", "state", "dice"),
    [
        ((0, 0), (0, 0), "both_empty", None),
        ((0, 0), (0, 1), "truth_empty", 0.0),
        ((1, 0), (0, 0), "prediction_empty", 0.0),
        ((1, 0), (0, 1), "ok", 0.0),
        ((1, 0), (1, 0), "ok", 1.0),
    ],
)
def test_empty_label_has_its_own_state(truth, prediction, state, dice):
    (score,) = overlap(volume(*truth), volume(*prediction), [1])
    assert (score.state, score.dice, score.iou) == (state, dice, dice)


def test_values_outside_the_list_are_background():
    truth = volume(-1, 1, 300, 5, dtype=np.int32)
    prediction = volume(1, 1, 1, -7, dtype=np.int64)
    (score,) = overlap(truth, prediction, [1])
    assert (score.tp, score.fp, score.fn) == (1, 2, 0)


def test_undeclared_values_are_named_and_counted():
    truth, prediction = volume(1, 1, 1, 9), volume(9, 9, 4, 1)
    case = score_case("liver_7", truth, prediction, [1])
    assert case.id == "liver_7"
    assert case.undeclared == {4: 1, 9: 2}
    assert case.labels[0].n_prediction == 1
    assert score_case("liver_7", truth, truth * 0, [1]).undeclared == {}


def test_labels_keep_their_order():
    truth = volume(5, 3, 3)
    assert [(s.label, s.n_truth) for s in overlap(truth, truth, [5, 3])] == [(5, 1), (3, 2)]


def test_no_labels_no_scores():
    assert overlap(volume(1), volume(1), []) == []


def test_different_shapes_are_refused_though_they_hold_as_many_voxels():
    with pytest.raises(GeometryError, match=r"\(1, 2, 3\).*\(1, 3, 2\)"):
        overlap(np.zeros((1, 2, 3), np.uint8), np.zeros((1, 3, 2), np.uint8), [1])


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int64])
def test_more_voxels_than_one_chunk(dtype):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, (2, 3, CHUNK // 4)).astype(dtype)
    prediction = rng.integers(0, 3, truth.shape).astype(dtype)
    for score in overlap(truth, prediction, [1, 2]):
        both = (truth == score.label) & (prediction == score.label)
        assert score.tp == both.sum()
        assert score.n_truth == (truth == score.label).sum()
        assert score.n_prediction == (prediction == score.label).sum()


def test_many_labels_and_large_values():
    labels = list(range(1000, 1600))
    truth = np.array(labels, dtype=np.int32).reshape(2, 3, -1)
    prediction = truth.copy()
    prediction[0, 0, 0] = 1599
    scores = {score.label: score for score in overlap(truth, prediction, labels)}
    assert scores[1000].state == "prediction_empty"
    assert (scores[1599].tp, scores[1599].fp) == (1, 1)
    assert all(scores[label].dice == 1 for label in range(1001, 1599))


def test_a_byte_cannot_hold_a_large_label():
    (score,) = overlap(volume(44), volume(44), [300])  # 300 wraps to 44 in a byte
    assert score.state == "both_empty"


@given(truth=masks, prediction=masks)
@settings(max_examples=100, deadline=None)
def test_equals_the_definition(truth, prediction):
    for score in overlap(truth, prediction, LABELS):
        g, p = truth == score.label, prediction == score.label
        assert (score.tp, score.fp, score.fn) == ((g & p).sum(), (~g & p).sum(), (g & ~p).sum())
        if g.any() or p.any():
            assert score.dice == 2 * (g & p).sum() / (g.sum() + p.sum())
            assert score.iou == (g & p).sum() / (g | p).sum()
            assert score.dice == pytest.approx(2 * score.iou / (1 + score.iou), abs=1e-15)


@given(truth=masks, prediction=masks)
@settings(max_examples=50, deadline=None)
def test_does_not_depend_on_direction_type_or_layout(truth, prediction):
    there = overlap(truth, prediction, LABELS)
    back = overlap(prediction, truth, LABELS)
    assert [(s.dice, s.fp) for s in there] == [(s.dice, s.fn) for s in back]
    assert there == overlap(truth.astype(np.int16), prediction.astype(np.int64), LABELS)
    assert there == overlap(truth[:, ::-1].T, prediction[:, ::-1].T, LABELS)
