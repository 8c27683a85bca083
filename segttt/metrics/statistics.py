"""How sure a mean is, and whether one model is better than another: resampling of cases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from segttt.errors import UsageError

Method = Literal["bca", "percentile"]
Scores = Mapping[str, float | None]
"""Case id -> score; None where the case has no value."""

RESAMPLES = 10_000
FEWEST = 6
"""With 5 pairs not even five wins reach p < 0.05 (Wilcoxon, two-sided: 0.0625)."""
CHUNK = 1 << 21  # cases drawn at once: their indices take 16 MiB
ROUNDED = 12  # decimals; what differs beyond them is tied


@dataclass(frozen=True)
class Interval:
    """Bootstrap confidence interval of a mean."""

    low: float
    high: float
    level: float
    method: Method
    resamples: int
    seed: int


@dataclass(frozen=True)
class SeedMean:
    """Repeated measures of one model: scores averaged over the seeds of its training."""

    scores: dict[str, float]
    """Mean over the seeds of each case that has a value in every seed."""
    n_seeds: int
    seed_sd: float | None
    """Sample deviation, over the seeds, of the mean over these cases; None for a single seed."""
    left_out: tuple[str, ...]
    """Cases without a value in some seed."""


@dataclass(frozen=True)
class Comparison:
    """Two models on the same cases; differences are second minus first."""

    n: int
    """Cases with a value from both."""
    left_out: tuple[str, ...]
    """Cases without a value from one of the two."""
    mean_difference: float
    interval: Interval | None
    """Of the mean difference; None below 6 cases."""
    effect_size: float | None
    """Mean difference over the sample deviation of the differences; None where that is 0."""
    p_value: float | None
    """Wilcoxon signed-rank test, two-sided; differences of 0 by Pratt's rule. None below
    6 cases."""
    wins: int
    """Cases where the second is better."""
    ties: int
    losses: int


@dataclass(frozen=True)
class Ranking:
    """Models by their mean over the cases that all have, and how firm that order is."""

    models: tuple[str, ...]
    """Best first."""
    means: tuple[float, ...]
    ranks: tuple[int, ...]
    """1 is best; equal means share the better rank."""
    mean_ranks: tuple[float, ...]
    """Mean over the cases of the rank within the case; equal scores share their mean rank."""
    n: int
    left_out: tuple[str, ...]
    """Cases without a value from some model."""
    rank_shares: tuple[tuple[float, ...], ...]
    """[model, rank - 1]: share of the resamples in which the model has that rank. Empty below 6
    cases."""
    kendall_tau: float | None
    """Mean over the resamples of tau-b with the order of all cases; all tied counts as 0. None
    below 6 cases."""
    resamples: int
    seed: int


def mean_interval(
    values: Sequence[float],
    *,
    seed: int,
    method: Method = "bca",
    level: float = 0.95,
    resamples: int = RESAMPLES,
) -> Interval:
    """Interval of the mean of `values`, one per case, under resampling of the cases.

    `bca` corrects the percentiles for bias and skewness (Efron 1987, doi 10.2307/2289144). Raises
    `UsageError` below 6 cases.
    """
    sample = np.asarray(values, float)
    if len(sample) < FEWEST:
        raise UsageError(
            f"There are {len(sample)} cases, too few for a statement: at least {FEWEST} are "
            "needed. Score more cases."
        )
    means = _resampled(sample[:, None], resamples, seed)[:, 0]
    tail = (1 - level) / 2
    shares = [tail, 1 - tail]
    if method == "bca" and np.ptp(sample):
        shares = _corrected(sample, means, shares)
    low, high = np.quantile(means, shares).tolist()
    return Interval(low, high, level, method, resamples, seed)


def mean_over_seeds(runs: Sequence[Scores]) -> SeedMean:
    """Average the scores of one model's seeds, case by case, so that a case counts once.

    Cases count that have a value in every run. Raises `UsageError` where there is none.
    """
    cases, left_out = _shared(runs, "seeds")
    table = _table(runs, cases)
    return SeedMean(
        scores=dict(zip(cases, table.mean(1).tolist(), strict=True)),
        n_seeds=len(runs),
        seed_sd=float(table.mean(0).std(ddof=1)) if len(runs) > 1 else None,
        left_out=left_out,
    )


def compare(
    first: Scores,
    second: Scores,
    *,
    seed: int,
    tie: float = 0.0,
    higher_is_better: bool = True,
    resamples: int = RESAMPLES,
) -> Comparison:
    """Compare two models case by case; a case is tied where they differ by at most `tie`.

    The tie tolerance bears on wins, ties and losses alone. The interval is BCa. The p-value is
    exact for up to 50 pairs without zeros and ties, else by the normal approximation or, for few
    pairs, by permutation, as SciPy chooses. Below 6 pairs there is neither. Raises `UsageError`
    without any pair.
    """
    cases, left_out = _shared([first, second], "models")
    table = _table([first, second], cases)
    differences = np.round(table[:, 1] - table[:, 0], ROUNDED)
    gains = differences if higher_is_better else -differences
    sd = float(differences.std(ddof=1)) if len(cases) > 1 else 0.0
    enough = len(cases) >= FEWEST
    return Comparison(
        n=len(cases),
        left_out=left_out,
        mean_difference=float(differences.mean()),
        interval=mean_interval(differences.tolist(), seed=seed, resamples=resamples)
        if enough
        else None,
        effect_size=float(differences.mean()) / sd if sd else None,
        p_value=_wilcoxon(differences) if enough else None,
        wins=int((gains > tie).sum()),
        ties=int((np.abs(gains) <= tie).sum()),
        losses=int((gains < -tie).sum()),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust the p-values of several tests, in their order, for the family-wise error.

    Holm 1979, Scandinavian Journal of Statistics 6, 65-70.
    """
    order = np.argsort(p_values, kind="stable")
    steps = np.asarray(p_values, float)[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted.tolist()


def rank(
    models: Mapping[str, Scores],
    *,
    seed: int,
    higher_is_better: bool = True,
    resamples: int = RESAMPLES,
) -> Ranking:
    """Rank models by their mean, within each case, and by the mean of resampled cases.

    Below 6 cases nothing is resampled. Raises `UsageError` below 2 models, and where no case has a
    value from every model.
    """
    if len(models) < 2:
        raise UsageError("A ranking needs two models or more. Name another one.")
    cases, left_out = _shared(list(models.values()), "models")
    table = _table(list(models.values()), cases)
    sign = 1 if higher_is_better else -1
    names = list(models)
    order = np.argsort(-sign * table.mean(0), kind="stable")
    table = sign * table[:, order]
    all_cases = table.mean(0, keepdims=True)
    shares, tau = _stability(table, all_cases, resamples, seed)
    return Ranking(
        models=tuple(names[i] for i in order),
        means=tuple((sign * all_cases[0]).tolist()),
        ranks=tuple(_ranks(all_cases)[0].tolist()),
        mean_ranks=tuple(stats.rankdata(-table.round(ROUNDED), axis=1).mean(0).tolist()),
        n=len(cases),
        left_out=left_out,
        rank_shares=shares,
        kendall_tau=tau,
        resamples=resamples,
        seed=seed,
    )


def _shared(runs: Sequence[Scores], what: str) -> tuple[list[str], tuple[str, ...]]:
    """Cases that have a value in every run, and all others; `what` the runs are, in the plural."""
    everywhere = set.intersection(
        *({case for case, score in run.items() if score is not None} for run in runs)
    )
    if not everywhere:
        raise UsageError(f"The {what} share no case with a value. Score them on the same cases.")
    return sorted(everywhere), tuple(sorted(set().union(*runs) - everywhere))


def _table(runs: Sequence[Scores], cases: Sequence[str]) -> Float[np.ndarray, "cases runs"]:
    return np.array([[run[case] for run in runs] for case in cases], float)


def _resampled(
    table: Float[np.ndarray, "cases m"], resamples: int, seed: int
) -> Float[np.ndarray, "resamples m"]:
    """Mean of every column over cases drawn with replacement, the same ones for all columns."""
    generator, n = np.random.default_rng(seed), len(table)
    step = max(1, CHUNK // n)
    means = []
    for start in range(0, resamples, step):
        drawn = generator.integers(0, n, (min(step, resamples - start), n))
        means.append(np.stack([column[drawn].mean(1) for column in table.T], axis=1))
    return np.concatenate(means)


def _corrected(
    sample: Float[np.ndarray, " n"], means: Float[np.ndarray, " b"], shares: Sequence[float]
) -> list[float]:
    """BCa shares of the resampled means that stand for `shares`."""
    residuals = sample - sample.mean()
    offsets = np.round(means - sample.mean(), ROUNDED)
    bias = stats.norm.ppf(((offsets < 0).mean() + (offsets <= 0).mean()) / 2)
    skewness = (residuals**3).sum() / (6 * (residuals**2).sum() ** 1.5)
    z = bias + stats.norm.ppf(shares)
    return stats.norm.cdf(bias + z / (1 - skewness * z)).tolist()


def _wilcoxon(differences: Float[np.ndarray, " n"]) -> float:
    if not differences.any():
        return 1.0
    result: Any = stats.wilcoxon(differences, zero_method="pratt")
    return float(result.pvalue)


def _stability(
    table: Float[np.ndarray, "cases m"],
    all_cases: Float[np.ndarray, "1 m"],
    resamples: int,
    seed: int,
) -> tuple[tuple[tuple[float, ...], ...], float | None]:
    """Share of the resamples at each rank, per column, and the mean tau with all cases."""
    if len(table) < FEWEST:
        return (), None
    drawn = _resampled(table, resamples, seed)
    counts = (np.bincount(ranks - 1, minlength=table.shape[1]) for ranks in _ranks(drawn).T)
    shares = tuple(tuple((one / resamples).tolist()) for one in counts)
    return shares, float(_kendall_tau(drawn, all_cases).mean())


def _ranks(means: Float[np.ndarray, "b m"]) -> Int[np.ndarray, "b m"]:
    """1 for the largest mean; equal means share the better rank."""
    return 1 + (means[:, None, :] > means[:, :, None]).sum(2)


def _kendall_tau(
    drawn: Float[np.ndarray, "b m"], all_cases: Float[np.ndarray, "1 m"]
) -> Float[np.ndarray, " b"]:
    """Kendall's tau-b of every row with the order of all cases."""
    first, second = np.triu_indices(drawn.shape[1], k=1)
    signs, expected = (np.sign(side[:, first] - side[:, second]) for side in (drawn, all_cases))
    untied = np.sqrt((signs != 0).sum(1) * (expected != 0).sum())
    return (signs * expected).sum(1) / np.maximum(untied, 1)
