"""Means, deviations and counts by hand; nothing but numbers and null reaches the file."""

import json
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from segttt.config.report import CaseScore, Statistics, Summary
from segttt.metrics.detection import lesion_score
from segttt.metrics.overlap import score_case
from segttt.metrics.summary import statistics, summarise

NAMES = {1: "liver", 2: "spleen"}


def case(name, truth, prediction):
    as_volume = [np.array(values, np.uint8).reshape(1, 1, -1) for values in (truth, prediction)]
    return score_case(name, *as_volume, list(NAMES))


PERFECT = case("perfect", (1, 1, 2, 0), (1, 1, 2, 0))  # 1, 1
HALF = case("half", (1, 1, 0, 0), (1, 0, 0, 0))  # 2/3, none
MISSED = case("missed", (1, 1, 2, 0), (0, 0, 2, 2))  # 0, 2/3
INVENTED = case("invented", (1, 1, 0, 0), (1, 1, 2, 0))  # 1, 0


def test_means_and_deviations_by_hand():
    summary = summarise([PERFECT, HALF, MISSED, INVENTED], NAMES, n_failed=2)
    liver, spleen = summary.per_label
    assert (liver.label, liver.name, liver.dice.n) == (1, "liver", 4)
    assert liver.dice.mean == pytest.approx((1 + 2 / 3 + 0 + 1) / 4)
    assert liver.dice.median == pytest.approx((2 / 3 + 1) / 2)
    assert liver.dice.min == 0
    assert liver.iou.mean == pytest.approx((1 + 1 / 2 + 0 + 1) / 4)
    assert spleen.dice.n == 3
    assert spleen.dice.mean == pytest.approx((1 + 2 / 3 + 0) / 3)
    per_case = [1, 2 / 3, 1 / 3, 1 / 2]
    mean = sum(per_case) / 4
    assert summary.mean_dice == pytest.approx(mean)
    assert summary.sd_cases == pytest.approx(sqrt(sum((v - mean) ** 2 for v in per_case) / 3))
    assert summary.mean_iou == pytest.approx((1 + 1 / 2 + 1 / 4 + 1 / 2) / 4)
    difference = liver.dice.mean - spleen.dice.mean
    assert summary.sd_labels == pytest.approx(abs(difference) / sqrt(2))
    assert (summary.n_cases, summary.n_failed, summary.protocol) == (4, 2, "strict")


def test_empties_are_counted_apart():
    liver, spleen = summarise([PERFECT, HALF, MISSED, INVENTED], NAMES).per_label
    assert (liver.n_both_empty, liver.n_truth_empty, liver.n_prediction_empty) == (0, 0, 1)
    assert (spleen.n_both_empty, spleen.n_truth_empty, spleen.n_prediction_empty) == (1, 1, 0)


def test_worst_cases_come_first():
    summary = summarise([PERFECT, HALF, MISSED, INVENTED], NAMES)
    assert [ranked.id for ranked in summary.worst] == ["missed", "invented", "half"]
    assert [ranked.id for ranked in summary.per_label[1].worst] == ["invented", "missed", "perfect"]


def test_one_case_has_no_deviation():
    summary = summarise([PERFECT], NAMES)
    assert (summary.mean_dice, summary.sd_cases, summary.sd_labels) == (1.0, None, 0.0)


def test_label_absent_everywhere_does_not_spoil_the_mean():
    summary = summarise([HALF, HALF.model_copy(update={"id": "again"})], NAMES)
    assert summary.per_label[1].dice == Statistics(n=0)
    assert summary.mean_dice == pytest.approx(2 / 3)


def test_nothing_to_score():
    nothing = case("nothing", (0, 0), (0, 0))
    for cases in ([], [nothing]):
        summary = summarise(cases, NAMES)
        assert (summary.n_cases, summary.mean_dice, summary.sd_cases) == (len(cases), None, None)
        assert summary.worst == ()


def test_undeclared_values_are_counted_by_case():
    odd = case("odd", (0, 0, 0), (9, 9, 4))
    assert summarise([odd, odd, PERFECT], NAMES).undeclared == {4: 2, 9: 2}


def test_nan_is_refused_by_the_record():
    with pytest.raises(ValidationError, match="finite"):
        Statistics(n=1, mean=float("nan"))


volumes = arrays(np.uint8, (1, 2, 3), elements=st.integers(0, 3))


@given(pairs=st.lists(st.tuples(volumes, volumes), max_size=4))
@settings(max_examples=60, deadline=None)
def test_file_is_standard_json_and_reads_back(pairs):
    cases = [score_case(f"c{i}", *pair, list(NAMES)) for i, pair in enumerate(pairs)]
    summary = summarise(cases, NAMES)

    def refuse(token):
        raise AssertionError(token)

    json.loads(summary.dump(), parse_constant=refuse)
    assert Summary.model_validate_json(summary.dump()) == summary
    for one in cases:
        json.loads(one.dump(), parse_constant=refuse)
        assert CaseScore.model_validate_json(one.dump()) == one


def test_a_confidence_interval_from_six_cases_on():
    five = [case(f"c{i}", (1, 1, 0, 0), (1, i % 2, 0, 0)) for i in range(5)]
    assert summarise(five, NAMES).ci95 is None
    low, high = summarise([*five, PERFECT, HALF], NAMES).ci95
    mean = summarise([*five, PERFECT, HALF], NAMES).mean_dice
    assert 2 / 3 < low < mean < high <= 1


def test_quartiles_and_extremes_by_hand():
    one = statistics([0.1, None, 0.2, 0.3, 0.4, 0.9])
    assert (one.n, one.q1, one.median, one.q3) == pytest.approx((5, 0.2, 0.3, 0.4))
    assert (one.min, one.max, one.ci95) == (0.1, 0.9, None)
    assert statistics([0.5]).q1 == statistics([0.5]).q3 == 0.5


def test_each_label_has_an_interval_of_its_dice_and_nsd():
    scores = [case(f"c{i}", (1, 1, 0, 0), (1, i % 2, 0, 0)) for i in range(8)]
    measured = [
        one.model_copy(
            update={"labels": tuple(s.model_copy(update={"nsd": s.dice}) for s in one.labels)}
        )
        for one in scores
    ]
    summary = summarise(measured, NAMES)
    liver, spleen = summary.per_label
    low, high = liver.dice.ci95
    assert 2 / 3 <= low < liver.dice.mean < high <= 1
    assert (liver.nsd.ci95, liver.iou.ci95, spleen.dice.ci95) == (liver.dice.ci95, None, None)
    assert summary.nsd_ci95 == summary.ci95
    assert (summary.nsd_sd_cases, summary.mean_nsd) == (summary.sd_cases, summary.mean_dice)
    assert summary.nsd_sd_labels == summary.sd_labels
    assert summarise(scores, NAMES).nsd_ci95 is None


def test_lesions_are_pooled_and_averaged():
    def with_lesions(name, *counts):
        one = case(name, (1, 1, 0, 0), (1, 1, 0, 0))
        lesions = [lesion_score(*counts), lesion_score(0, 0, 0, 0)]
        labels = (
            score.model_copy(update={"lesions": lesion})
            for score, lesion in zip(one.labels, lesions, strict=True)
        )
        return one.model_copy(update={"labels": tuple(labels)})

    cases = [with_lesions("many", 9, 8, 8, 0), with_lesions("few", 1, 3, 0, 3)]
    liver, spleen = (label.lesions for label in summarise(cases, NAMES).per_label)
    assert (liver.total.n_truth, liver.total.found, liver.total.false) == (10, 8, 3)
    assert (liver.total.sensitivity, liver.false_per_case) == (0.8, 1.5)
    assert liver.sensitivity.mean == pytest.approx((8 / 9 + 0) / 2)
    assert (spleen.total.f1, spleen.f1.n, spleen.false_per_case) == (None, 0, 0)
    assert summarise([PERFECT], NAMES).per_label[0].lesions is None
