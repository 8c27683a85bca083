"""Measures against SciPy and by hand; true differences are found, ties are not made up."""

from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from segttt.metrics.comparison import measures
from tests.metrics.cohorts import NAMES, by_pair, case, cohort, drawn

THREE = {"good": [drawn(1, shift=0.05)], "plain": [drawn(2)], "other": [drawn(3)]}


def overall(found, metric="dice"):
    return next(one for one in found if one.metric == metric and one.label is None)


def means(cases):
    return np.array([np.mean([one.dice for one in each.labels]) for each in cases])


def test_p_values_equal_scipy_with_holm_over_all_pairs():
    dice = overall(measures(THREE, NAMES))
    pairs = [(one.model, one.other) for one in dice.differences]
    assert pairs == [("good", "plain"), ("good", "other"), ("plain", "other")]
    expected = []
    for one, (model, other) in zip(dice.differences, pairs, strict=True):
        gaps = means(THREE[model][0]) - means(THREE[other][0])
        expected.append(stats.wilcoxon(gaps, zero_method="pratt").pvalue)
        assert one.mean == pytest.approx(gaps.mean())
        assert one.effect_size == pytest.approx(gaps.mean() / gaps.std(ddof=1))
        assert (one.wins, one.losses) == ((gaps > 0).sum(), (gaps < 0).sum())
    assert [one.p_value for one in dice.differences] == pytest.approx(expected)
    order = np.argsort(expected)
    steps = np.maximum.accumulate(np.array(expected)[order] * [3, 2, 1])
    corrected = [dice.differences[i].p_holm for i in order]
    assert corrected == pytest.approx(np.minimum(steps, 1))
    assert dice.tests == 3


def test_labels_are_one_family_of_all_pairs_and_labels():
    found = measures(THREE, NAMES)
    labels = [one for one in found if one.label is not None]
    assert [(one.label, one.name, one.tests) for one in labels] == [
        (1, "liver", 6),
        (2, "left kidney", 6),
    ]
    assert all(one.ranking is None for one in labels)
    raw = sorted(one.p_value for label in labels for one in label.differences)
    lowest = min(one.p_holm for label in labels for one in label.differences)
    assert lowest == pytest.approx(min(1, 6 * raw[0]))
    gaps = [
        ours.labels[1].dice - theirs.labels[1].dice
        for ours, theirs in zip(THREE["good"][0], THREE["plain"][0], strict=True)
    ]
    assert labels[1].differences[0].mean == pytest.approx(np.mean(gaps))


def test_the_interval_is_scipys():
    dice = overall(measures(THREE, NAMES)).differences[0]
    gaps = np.round(means(THREE["good"][0]) - means(THREE["plain"][0]), 12)
    expected = stats.bootstrap(
        (gaps,), np.mean, method="bca", n_resamples=10_000, rng=np.random.default_rng(0)
    ).confidence_interval
    assert dice.ci95 == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_the_order_of_the_models_changes_nothing_but_the_order():
    reference = measures(THREE, NAMES)
    for order in permutations(THREE):
        found = measures({name: THREE[name] for name in order}, NAMES)
        for ours, theirs in zip(found, reference, strict=True):
            assert [one.model for one in ours.scores] == list(order)
            assert set(ours.scores) == set(theirs.scores)
            expected = by_pair(theirs.differences)
            for pair, one in by_pair(ours.differences).items():
                turned = one.model != expected[pair].model
                sign = -1 if turned else 1
                assert one.mean == pytest.approx(sign * expected[pair].mean)
                assert one.p_holm == pytest.approx(expected[pair].p_holm)
                ends = sorted(sign * end for end in expected[pair].ci95)
                assert one.ci95 == pytest.approx(ends, abs=1e-9)
                told = (one.losses, one.wins) if turned else (one.wins, one.losses)
                assert told == (expected[pair].wins, expected[pair].losses)
            assert ours.ranking == theirs.ranking


def test_a_difference_is_found_and_ranked_first():
    dice = overall(measures(THREE, NAMES))
    found = by_pair(dice.differences)
    for other in ("plain", "other"):
        one = found[frozenset(("good", other))]
        assert one.p_holm < 0.01
        assert one.ci95[0] > 0.02
    assert found[frozenset(("plain", "other"))].p_holm > 0.05
    first = dice.ranking.ranks[0]
    assert (first.model, first.rank, first.shares) == ("good", 1, (1, 0, 0))
    assert sum(one.mean_rank for one in dice.ranking.ranks) == pytest.approx(6)
    assert 0 < dice.ranking.kendall_tau < 1


def test_equal_models_are_seldom_told_apart():
    """Three equal models, 30 experiments: a false claim, of three pairs, in at most 5 % of them."""
    false = 0
    for start in range(0, 90, 3):
        models = {f"m{i}": [drawn(100 + start + i, n=12)] for i in range(3)}
        dice = overall(measures(models, {}))
        false += any(one.p_holm < 0.05 for one in dice.differences)
    assert false <= 5  # at a rate of 5 % the chance of more is 0.3 %


def test_seeds_count_as_one_model():
    seeds = [drawn(1), drawn(2), drawn(3)]
    models = {"three": seeds, "one": [drawn(4)]}
    dice = overall(measures(models, NAMES))
    three, one = dice.scores
    per_seed = [means(cases).mean() for cases in seeds]
    assert three.mean == pytest.approx(np.mean(per_seed))
    assert three.seed_sd == pytest.approx(np.std(per_seed, ddof=1))
    averaged = np.mean([means(cases) for cases in seeds], axis=0)
    assert three.sd == pytest.approx(averaged.std(ddof=1))
    assert (three.n, one.seed_sd) == (20, None)
    gaps = averaged - means(models["one"][0])
    assert dice.differences[0].p_value == stats.wilcoxon(gaps).pvalue


def test_scores_that_only_some_have_are_compared_among_those():
    def scored(nsd):
        return [[case(f"c{i}", [0.5, 0.5], nsd and [nsd + i / 100, 0.6]) for i in range(8)]]

    models = {"a": scored(0.6), "b": scored(0.5), "bare": scored(None)}
    found = measures(models, NAMES)
    nsd = overall(found, "nsd")
    assert [one.model for one in nsd.scores] == ["a", "b"]
    assert [(one.model, one.other, one.wins) for one in nsd.differences] == [("a", "b", 8)]
    assert nsd.differences[0].mean == pytest.approx(0.05)
    dice = overall(found)
    assert len(dice.differences) == 3
    assert all((one.p_holm, one.ties, one.effect_size) == (1, 8, None) for one in dice.differences)
    assert not any(one.metric == "f1" for one in found)


def test_cells_are_compared_by_f1():
    def pictures(shift):
        return [case(f"p{i}", [], f1=0.5 + shift + i / 50) for i in range(7)]

    (f1,) = measures({"a": [pictures(0.2)], "b": [pictures(0.0)]}, {})
    assert (f1.metric, f1.label) == ("f1", None)
    assert f1.differences[0].mean == pytest.approx(0.2)
    assert f1.differences[0].p_holm == pytest.approx(2 / 128)


def test_few_cases_have_no_tests():
    few = {"a": [drawn(1, n=5)], "b": [drawn(2, n=5)]}
    dice = overall(measures(few, NAMES))
    (one,) = dice.differences
    assert (one.p_value, one.p_holm, one.ci95) == (None, None, None)
    assert (one.n, one.wins + one.ties + one.losses, dice.tests) == (5, 5, 0)
    assert all(rank.shares == () for rank in dice.ranking.ranks)
    assert dice.ranking.kendall_tau is None


def test_labels_absent_from_some_cases_are_paired_where_both_have_them():
    ours = cohort([[0.9, None], [0.8, 0.5], [0.7, None], *[[0.9, 0.9]] * 6])
    theirs = cohort([[0.8, 0.0], [0.8, 0.4], [0.7, None], *[[0.9, 0.9]] * 6])
    found = measures({"a": [ours], "b": [theirs]}, NAMES)
    kidney = next(one for one in found if one.label == 2)
    assert [one.n for one in kidney.scores] == [7, 8]
    assert (kidney.differences[0].n, kidney.differences[0].wins) == (7, 1)
    assert overall(found).differences[0].n == 9
    never = measures({"a": [cohort([[0.5, None]] * 6)], "b": [cohort([[0.6, None]] * 6)]}, NAMES)
    assert [one.label for one in never] == [None, 1]
