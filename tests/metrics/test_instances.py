"""Cells against counts by hand and against the challenge's definition, written densely."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from skimage.segmentation import relabel_sequential

from segttt.errors import GeometryError, LabelError, UsageError
from segttt.metrics import instances
from segttt.metrics.instances import score_instances

THRESHOLDS = (0.1, 0.3, 0.5, 0.6, 0.75, 0.9)


def row(*ids, dtype=np.int32):
    """A picture of one row."""
    return np.array([ids], dtype)


def dense_iou(truth, prediction):
    overlap = np.zeros((truth.max() + 1, prediction.max() + 1))
    np.add.at(overlap, (truth.ravel(), prediction.ravel()), 1)
    union = overlap.sum(1, keepdims=True) + overlap.sum(0, keepdims=True) - overlap
    return (overlap / np.maximum(union, 1))[1:, 1:]


def dense_matches(truth, prediction, threshold):
    """IoU of the pairs by the challenge's assignment over the full matrix."""
    truth, prediction = relabel_sequential(truth)[0], relabel_sequential(prediction)[0]
    iou = dense_iou(truth, prediction)
    if not iou.size:
        return np.zeros(0), truth.max(), prediction.max()
    cost = -(iou >= threshold).astype(float) - iou / (2 * min(iou.shape))
    found = iou[linear_sum_assignment(cost)]
    return found[found >= threshold], truth.max(), prediction.max()


def without_border(ids):
    frame = np.ones(ids.shape, bool)
    frame[2:-2, 2:-2] = False
    ids = ids.copy()
    for touching in np.unique(ids[frame]):
        ids[ids == touching] = 0
    return ids


def challenge(truth, prediction, threshold, *, tile=None):
    """(n_truth, n_prediction, tp, precision, recall, F1) as the challenge's script has them."""
    tile = tile or max(truth.shape)
    counts = np.zeros(3, int)
    for y in range(0, truth.shape[0], tile):
        for x in range(0, truth.shape[1], tile):
            pair = []
            for ids in (truth, prediction):
                part = ids[y : y + tile, x : x + tile]
                if tile < max(truth.shape):
                    padded = np.zeros((tile, tile), ids.dtype)
                    padded[: part.shape[0], : part.shape[1]] = part
                    part = padded
                pair.append(without_border(part))
            found, n_truth, n_prediction = dense_matches(*pair, threshold)
            counts += n_truth, n_prediction, len(found)
    n_truth, n_prediction, tp = counts.tolist()
    if tp == 0:
        return n_truth, n_prediction, 0, 0, 0, 0
    precision, recall = tp / n_prediction, tp / n_truth
    f1 = 2 * precision * recall / (precision + recall)
    return n_truth, n_prediction, tp, precision, recall, f1


def random_pair(seed, side=60, cells=40):
    """Discs that overlap each other, and the same ones moved, merged, lost and invented."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, : side + 7]
    truth, prediction = np.zeros((2, side, side + 7), np.int32)
    for number in range(1, cells + 1):
        centre, radius = rng.uniform(0, side, 2), rng.uniform(2, 7)
        truth[np.hypot(y - centre[0], x - centre[1]) < radius] = number
        if rng.random() < 0.9:
            moved = centre + rng.normal(0, 1.5, 2)
            other = number if rng.random() < 0.8 else max(1, number - 1)
            grown = radius * rng.uniform(0.7, 1.3)
            prediction[np.hypot(y - moved[0], x - moved[1]) < grown] = other
    return truth, prediction


@pytest.mark.parametrize("seed", range(12))
def test_equals_the_challenge_on_random_cells(seed):
    truth, prediction = random_pair(seed)
    for score in score_instances(truth, prediction, THRESHOLDS, rule="paper"):
        expected = challenge(truth, prediction, score.threshold)
        found = (score.n_truth, score.n_prediction, score.tp)
        found = (*found, score.precision, score.recall, score.f1)
        assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(12))
def test_many_ties_are_resolved_as_by_the_full_matrix(seed):
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(1, 201).reshape(20, 10), 2, axis=1)
    prediction = np.roll(truth, 1, axis=1)  # each cell has two partners of IoU 1/3, in long chains
    prediction = np.where(rng.random(truth.shape) < 0.2, rng.permuted(prediction), prediction)
    for score in score_instances(truth, prediction, (0.1, 1 / 3, 0.5)):
        found, n_truth, n_prediction = dense_matches(truth, prediction, score.threshold)
        assert (score.n_truth, score.n_prediction, score.tp) == (n_truth, n_prediction, len(found))


def test_by_hand():
    truth = row(1, 1, 1, 1, 0, 2, 2, 0, 3)
    prediction = row(7, 7, 7, 0, 0, 0, 9, 9, 0)
    at_half, at_third = score_instances(truth, prediction, (0.5, 1 / 3))
    assert (at_half.n_truth, at_half.n_prediction, at_half.tp) == (3, 2, 1)
    assert (at_half.precision, at_half.recall, at_half.f1) == (1 / 2, 1 / 3, 2 / 5)
    assert (at_half.sq, at_half.pq) == (3 / 4, pytest.approx(3 / 4 * 2 / 5))
    assert (at_third.tp, at_third.precision, at_third.recall) == (2, 1, 2 / 3)
    assert at_third.sq == pytest.approx((3 / 4 + 1 / 3) / 2)
    assert at_third.pq == pytest.approx(at_third.sq * at_third.f1)


def test_the_threshold_is_inclusive_and_a_tie_counts_once():
    truth = row(1, 1, 2, 2)
    assert score_instances(truth, row(1, 0, 2, 2))[0].tp == 2
    halves = score_instances(row(1, 1), row(1, 2))[0]  # both halves reach 0.5
    assert (halves.tp, halves.n_prediction, halves.sq) == (1, 2, 0.5)


def test_more_pairs_go_before_better_ones():
    truth = row(*[1] * 10, *[2] * 2)
    prediction = row(*[3] * 2, *[4] * 10)  # IoU of 1-3 and 2-4 is 0.2, of 1-4 it is 2/3
    score = score_instances(truth, prediction, (0.2,))[0]
    assert (score.tp, score.sq) == (2, pytest.approx(0.2))


def test_of_as_many_pairs_the_better_ones_are_taken():
    truth = row(1, 1, 1, 2, 2, 2)
    prediction = row(1, 1, 2, 2, 2, 2)
    score = score_instances(truth, prediction, (0.1,))[0]
    assert (score.tp, score.sq) == (2, pytest.approx((2 / 3 + 3 / 4) / 2))


NOTHING = row(0, 0, 0)


@pytest.mark.parametrize(
    ("truth", "prediction", "strict", "paper"),
    [
        (NOTHING, NOTHING, (None, None, None, None, None), (0, 0, 0, None, 0)),
        (NOTHING, row(0, 1, 0), (0, None, 0, None, 0), (0, 0, 0, None, 0)),
        (row(0, 1, 0), NOTHING, (None, 0, 0, None, 0), (0, 0, 0, None, 0)),
        (row(1, 1, 0), row(0, 0, 1), (0, 0, 0, None, 0), (0, 0, 0, None, 0)),
    ],
)
def test_nothing_found(truth, prediction, strict, paper):
    for rule, expected in (("strict", strict), ("paper", paper)):
        sides = [np.pad(side, 2) for side in (truth, prediction)]
        (score,) = score_instances(*sides, rule=rule)
        assert (score.precision, score.recall, score.f1, score.sq, score.pq) == expected
        assert score.tp == 0
        assert (score.n_truth, score.n_prediction) == (int(truth.any()), int(prediction.any()))


def test_strict_keeps_cells_at_the_border_and_paper_drops_them():
    ids = np.zeros((20, 20), np.uint16)
    ids[1:4, 8:12] = 1  # reaches into the frame of two pixels
    ids[2:6, 2:6] = 2  # touches the frame, lies inside
    ids[10:14, 14:20] = 3
    (strict,), (paper,) = (score_instances(ids, ids, rule=rule) for rule in ("strict", "paper"))
    assert (strict.n_truth, strict.tp, strict.f1) == (3, 3, 1)
    assert (paper.n_truth, paper.tp, paper.f1) == (1, 1, 1)
    assert ids.max() == 3  # the argument is left as it was
    assert score_instances(ids[None], ids[None], rule="paper") == (paper,)


def test_a_cell_dropped_on_one_side_stays_on_the_other():
    truth, prediction = np.zeros((2, 20, 20), int)
    truth[1:10, 5:10] = 1
    prediction[2:10, 5:10] = 1
    (score,) = score_instances(truth, prediction, rule="paper")
    assert (score.n_truth, score.n_prediction, score.f1) == (0, 1, 0)


def test_large_pictures_are_cut_into_tiles_by_the_papers_rule(monkeypatch):
    monkeypatch.setattr(instances, "TILE_PIXELS", 30)
    monkeypatch.setattr(instances, "TILED_FROM_PIXELS", 60 * 67)
    for seed in range(4):
        truth, prediction = random_pair(seed)
        for score in score_instances(truth, prediction, (0.3, 0.5), rule="paper"):
            expected = challenge(truth, prediction, score.threshold, tile=30)
            assert (score.n_truth, score.n_prediction, score.tp) == expected[:3]
            assert score.f1 == pytest.approx(expected[5], abs=1e-12)
    crossing = np.zeros((60, 67), int)
    crossing[5:10, 27:33] = 1
    crossing[50:55, 62:67] = 2  # at the picture's edge, but inside its zero-padded tile
    (score,) = score_instances(crossing, crossing, rule="paper")
    assert (score.n_truth, score.tp) == (1, 1)
    assert score_instances(crossing, crossing)[0].n_truth == 2


def test_the_real_limits_of_the_paper():
    assert (instances.TILE_PIXELS, instances.TILED_FROM_PIXELS) == (2000, 25_000_000)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64, np.uint64])
def test_numbers_of_cells_mean_nothing(dtype):
    truth, prediction = (side % 200 for side in random_pair(3))
    expected = score_instances(truth, prediction, THRESHOLDS)
    stride = np.iinfo(dtype).max // 255
    sides = [(side.astype(dtype) * dtype(stride)) for side in (truth, prediction)]
    assert score_instances(*sides, THRESHOLDS) == expected
    assert score_instances(*[side[None] for side in sides], THRESHOLDS) == expected


def test_large_numbers_without_any_background():
    ids = row(4_000_000_000, 4_000_000_000, 4_100_000_000, dtype=np.uint32)
    (score,) = score_instances(ids, ids)
    assert (score.n_truth, score.tp, score.f1) == (2, 2, 1)


def test_volumes_are_scored_whole():
    truth, prediction = np.zeros((2, 3, 4, 4), int)
    truth[:2, :2] = 1
    prediction[1:, :2] = 1
    (score,) = score_instances(truth, prediction, (1 / 3,))
    assert (score.tp, score.sq) == (1, 1 / 3)
    with pytest.raises(UsageError, match="strict rule"):
        score_instances(truth, prediction, rule="paper")


def test_an_empty_picture():
    nothing = np.zeros((0, 5), int)
    assert score_instances(nothing, nothing)[0].f1 is None


def test_swapping_the_sides_swaps_precision_and_recall():
    truth, prediction = random_pair(7)
    one, other = (score_instances(*s)[0] for s in ((truth, prediction), (prediction, truth)))
    assert (one.precision, one.recall) == (other.recall, other.precision)
    assert (one.f1, one.pq) == pytest.approx((other.f1, other.pq))


def test_refusals():
    with pytest.raises(GeometryError, match="one grid"):
        score_instances(row(1), row(1, 1))
    with pytest.raises(LabelError, match="there is a -1"):
        score_instances(row(1, -1), row(1, 1))
    for threshold in (0.0, 1.1, float("nan")):
        with pytest.raises(UsageError, match=r"\(0, 1\]"):
            score_instances(row(1), row(1), (threshold,))
