"""Intervals, tests and rankings against SciPy and against numbers by hand."""

import warnings

import numpy as np
import pytest
from scipy import stats

from segttt.errors import UsageError
from segttt.metrics import statistics
from segttt.metrics.statistics import compare, holm, mean_interval, mean_over_seeds, rank

DRAWN = np.random.default_rng(5).beta(8, 2, 30).tolist()


def scores(*values):
    return {f"case{i}": value for i, value in enumerate(values)}


@pytest.mark.parametrize("level", [0.9, 0.95])
@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_intervals_equal_scipy(method, level):
    ours = mean_interval(DRAWN, seed=3, method=method, level=level, resamples=2000)
    theirs = stats.bootstrap(
        (np.array(DRAWN),),
        np.mean,
        confidence_level=level,
        method=method,
        n_resamples=2000,
        rng=np.random.default_rng(3),
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert (ours.level, ours.method, ours.resamples, ours.seed) == (level, method, 2000, 3)


def test_intervals_hold_the_mean_at_their_level():
    rng = np.random.default_rng(0)
    hits = 0
    for seed in range(200):
        interval = mean_interval(rng.normal(size=25).tolist(), seed=seed, resamples=400)
        hits += interval.low <= 0 <= interval.high
    assert 180 <= hits <= 198


def test_bca_leans_to_the_long_tail():
    skewed = np.random.default_rng(1).exponential(size=20).tolist()
    plain, bca = (mean_interval(skewed, seed=0, method=m) for m in ("percentile", "bca"))
    assert bca.high > plain.high
    assert bca.low > plain.low


def test_the_seed_decides():
    one, same, other = (mean_interval(DRAWN, seed=seed) for seed in (1, 1, 2))
    assert one == same
    assert one != other
    assert one.low == pytest.approx(other.low, abs=2e-3)


def test_equal_values_have_an_interval_of_no_width():
    for method in ("percentile", "bca"):
        interval = mean_interval([0.1] * 7, seed=0, method=method)
        assert (interval.low, interval.high) == pytest.approx((0.1, 0.1))


def test_drawing_in_parts_changes_nothing(monkeypatch):
    whole = mean_interval(DRAWN, seed=0, resamples=500)
    monkeypatch.setattr(statistics, "CHUNK", 7 * len(DRAWN))
    assert mean_interval(DRAWN, seed=0, resamples=500) == whole


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6]) == [1, 1]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


def test_comparison_by_hand():
    first = scores(0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5)
    second = scores(0.6, 0.7, 0.8, 0.9, 0.4, 0.5, 0.505)
    found = compare(first, second, seed=0, tie=0.01)
    differences = [0.1, 0.2, 0.3, 0.4, -0.1, 0.0, 0.005]
    assert (found.n, found.wins, found.ties, found.losses) == (7, 4, 2, 1)
    assert found.mean_difference == pytest.approx(np.mean(differences))
    assert found.effect_size == pytest.approx(np.mean(differences) / np.std(differences, ddof=1))
    assert found.p_value == stats.wilcoxon(differences, zero_method="pratt").pvalue
    expected = mean_interval(np.round(differences, 12).tolist(), seed=0)
    assert found.interval == expected
    assert found.left_out == ()


def test_six_wins_of_six():
    found = compare(scores(*[0.0] * 6), scores(0.1, 0.2, 0.3, 0.4, 0.5, 0.6), seed=0)
    assert found.p_value == pytest.approx(2 / 64)
    assert found.interval.low > 0


def test_lower_is_better_for_distances():
    first, second = scores(*[2.0] * 6), scores(1.0, 1.5, 1.2, 1.1, 2.5, 2.0)
    found = compare(first, second, seed=0, higher_is_better=False)
    assert (found.wins, found.ties, found.losses) == (4, 1, 1)
    assert found.mean_difference < 0


def test_a_tie_at_the_tolerance_is_a_tie():
    first = scores(0.9, 0.9, 0.9, 0.9, 0.9, 0.9)
    second = scores(0.89, 0.91, 0.88, 0.92, 0.9, 0.9)
    found = compare(first, second, seed=0, tie=0.01)
    assert (found.wins, found.ties, found.losses) == (1, 4, 1)


def test_the_order_of_the_two_turns_the_sign():
    rng = np.random.default_rng(2)
    one, two = scores(*rng.random(20).tolist()), scores(*rng.random(20).tolist())
    there, back = compare(one, two, seed=0), compare(two, one, seed=0)
    assert there.mean_difference == pytest.approx(-back.mean_difference)
    assert (there.wins, there.losses) == (back.losses, back.wins)
    assert there.p_value == pytest.approx(back.p_value)


def test_no_difference_at_all():
    same = scores(*DRAWN)
    found = compare(same, same, seed=0)
    assert (found.p_value, found.mean_difference, found.effect_size) == (1, 0, None)
    assert (found.wins, found.ties, found.losses) == (0, 30, 0)
    shifted = compare(scores(*[0.1] * 8), scores(*[0.1 + 0.2] * 8), seed=0)
    assert shifted.effect_size is None
    assert shifted.p_value < 0.05


def test_only_cases_with_both_scores_are_paired():
    first = {**scores(*DRAWN[:8]), "lost": 0.1, "empty": None}
    second = {**scores(*DRAWN[8:16]), "new": 0.2, "empty": 0.0}
    found = compare(first, second, seed=0)
    assert (found.n, found.left_out) == (8, ("empty", "lost", "new"))
    plain = compare(scores(*DRAWN[:8]), scores(*DRAWN[8:16]), seed=0)
    assert found.mean_difference == plain.mean_difference


def test_pairs_go_by_case_not_by_order():
    first = scores(*DRAWN[:10])
    turned = dict(reversed(scores(*DRAWN[:10]).items()))
    assert compare(first, turned, seed=0).ties == 10


def test_seeds_are_averaged_before_cases_are_counted():
    runs = [scores(0.8, 0.6, None, 0.5), scores(0.6, 0.4, 0.9, 0.6), scores(0.7, 0.8, 0.9, 0.1)]
    mean = mean_over_seeds(runs)
    assert mean.scores == pytest.approx({"case0": 0.7, "case1": 0.6, "case3": 0.4})
    assert (mean.n_seeds, mean.left_out) == (3, ("case2",))
    per_seed = [1.9 / 3, 1.6 / 3, 1.6 / 3]
    assert mean.seed_sd == pytest.approx(np.std(per_seed, ddof=1))
    assert mean_over_seeds(runs[:1]).seed_sd is None


def test_ranks_by_hand():
    base = np.array(DRAWN)
    models = {
        "middle": scores(*(base - 0.1).tolist()),
        "best": scores(*base.tolist()),
        "worst": scores(*(base - 0.2).tolist()),
    }
    found = rank(models, seed=0, resamples=200)
    assert (found.models, found.ranks) == (("best", "middle", "worst"), (1, 2, 3))
    assert found.means == pytest.approx((base.mean(), base.mean() - 0.1, base.mean() - 0.2))
    assert found.rank_shares == ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    assert found.mean_ranks == (1, 2, 3)
    assert (found.kendall_tau, found.n, found.resamples) == (1, 30, 200)
    turned = rank(models, seed=0, resamples=200, higher_is_better=False)
    assert (turned.models, turned.kendall_tau) == (("worst", "middle", "best"), 1)


def test_rank_shares_and_tau_equal_a_plain_loop():
    rng = np.random.default_rng(4)
    table = rng.integers(0, 4, (12, 4)) / 4
    table[:, 3] = table[:, 2]  # a tie everywhere
    models = {f"m{j}": scores(*table[:, j].tolist()) for j in range(4)}
    found = rank(models, seed=9, resamples=300)
    cases = sorted(range(12), key=lambda i: f"case{i}")
    ordered = table[cases][:, [int(name[1:]) for name in found.models]]
    drawn = np.random.default_rng(9).integers(0, 12, (300, 12))
    shares, taus = np.zeros((4, 4)), []
    for indices in drawn:
        means = ordered[indices].mean(0)
        for j, value in enumerate(means):
            shares[j, int((means > value).sum())] += 1 / 300
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tau = stats.kendalltau(means, ordered.mean(0)).statistic
        taus.append(0.0 if np.isnan(tau) else tau)
    np.testing.assert_allclose(found.rank_shares, shares, atol=1e-12)
    assert found.kendall_tau == pytest.approx(np.mean(taus))


def test_equal_models_share_the_better_rank():
    same = scores(*DRAWN)
    found = rank({"a": same, "b": same}, seed=0, resamples=50)
    assert (found.ranks, found.kendall_tau) == ((1, 1), 0)
    assert found.rank_shares == ((1, 0), (1, 0))


def test_ranks_within_cases_by_hand():
    models = {
        "a": scores(0.9, 0.9, 0.9, 0.1, 0.5, 0.5),
        "b": scores(0.8, 0.8, 0.8, 0.9, 0.5, 0.4),
        "c": scores(0.1, 0.8, 0.1, 0.2, 0.5, 0.6),
    }
    found = rank(models, seed=0, resamples=10)
    mean_ranks = dict(zip(found.models, found.mean_ranks, strict=True))
    assert found.models == ("b", "a", "c")
    assert mean_ranks["a"] == pytest.approx((1 + 1 + 1 + 3 + 2 + 2) / 6)
    assert mean_ranks["b"] == pytest.approx((2 + 2.5 + 2 + 1 + 2 + 3) / 6)
    assert sum(mean_ranks.values()) == pytest.approx(6)
    turned = rank(models, seed=0, resamples=10, higher_is_better=False)
    assert dict(zip(turned.models, turned.mean_ranks, strict=True)) == pytest.approx(
        {name: 4 - mean for name, mean in mean_ranks.items()}
    )


def test_few_cases_have_figures_without_tests():
    first, second = scores(0.5, 0.5, 0.5, 0.5, 0.5), scores(0.6, 0.7, 0.5, 0.4, 0.8)
    found = compare({**first, "x": 0.1}, {**second, "y": 0.1}, seed=0)
    assert (found.n, found.wins, found.ties, found.losses) == (5, 3, 1, 1)
    assert found.mean_difference == pytest.approx(0.1)
    assert (found.interval, found.p_value) == (None, None)
    ranked = rank({"a": first, "b": second}, seed=0)
    assert (ranked.models, ranked.ranks) == (("b", "a"), (1, 2))
    assert (ranked.rank_shares, ranked.kendall_tau) == ((), None)
    one = compare(scores(0.5), scores(0.75), seed=0)
    assert (one.n, one.mean_difference, one.effect_size) == (1, 0.25, None)


def test_refusals():
    with pytest.raises(UsageError, match="5 cases, too few"):
        mean_interval(DRAWN[:5], seed=0)
    with pytest.raises(UsageError, match="share no case"):
        compare({"x": 0.1}, {"y": 0.1}, seed=0)
    with pytest.raises(UsageError, match="share no case"):
        rank({"a": {"x": 0.1}, "b": {"x": None}}, seed=0)
    with pytest.raises(UsageError, match="two models"):
        rank({"a": scores(*DRAWN)}, seed=0)
    with pytest.raises(UsageError, match="share no case"):
        mean_over_seeds([{"a": 0.1}, {"b": 0.1}])
