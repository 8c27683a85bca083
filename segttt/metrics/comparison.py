"""Models side by side: scores, differences of every pair and ranks, overall and per label."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations
from statistics import fmean, stdev

from segttt.config.comparison import Difference, Measure, Metric, ModelScore, Rank, Ranking
from segttt.config.report import CaseScore
from segttt.errors import UsageError
from segttt.metrics import statistics
from segttt.metrics.statistics import SeedMean
from segttt.metrics.summary import case_mean

SEED = 0
Seeds = Sequence[Sequence[CaseScore]]
"""The cases of each seed of one model."""


def measures(models: Mapping[str, Seeds], names: Mapping[int, str]) -> tuple[Measure, ...]:
    """All measures that any model has, first over all labels, then label by label.

    Pairs are in the order of `models`. p-values are corrected per metric: over all pairs, and
    for labels over all pairs and labels.
    """
    found: list[Measure] = []
    for metric in ("dice", "nsd"):
        found += _family(models, metric, [(None, "")])
        if len(names) > 1:
            found += _family(models, metric, list(names.items()))
    found += _family(models, "f1", [(None, "")])
    return tuple(measure for measure in found if measure.scores)


def _family(
    models: Mapping[str, Seeds], metric: Metric, labels: Sequence[tuple[int | None, str]]
) -> list[Measure]:
    """One measure per label; the p-values of all are corrected together."""
    found = [_measure(models, metric, label, name) for label, name in labels]
    tested = [one.p_value for measure in found for one in measure.differences]
    known = [p for p in tested if p is not None]
    adjusted = iter(statistics.holm(known))

    def corrected(one: Difference) -> Difference:
        p_holm = None if one.p_value is None else next(adjusted)
        return one.model_copy(update={"p_holm": p_holm})

    return [
        measure.model_copy(
            update={
                "tests": len(known),
                "differences": tuple(corrected(one) for one in measure.differences),
            }
        )
        for measure in found
    ]


def _measure(models: Mapping[str, Seeds], metric: Metric, label: int | None, name: str) -> Measure:
    """One measure, its p-values not yet corrected; labels have no ranking."""
    value = partial(_value, metric=metric, label=label)
    means = {model: _over_seeds(seeds, value) for model, seeds in models.items()}
    known = {model: mean for model, mean in means.items() if mean is not None}
    pairs = [_difference(known, *pair) for pair in combinations(known, 2)]
    return Measure(
        metric=metric,
        label=label,
        name=name,
        tests=0,
        scores=tuple(_score(model, mean) for model, mean in known.items()),
        differences=tuple(pair for pair in pairs if pair is not None),
        ranking=_ranking(known) if label is None else None,
    )


def _value(case: CaseScore, metric: Metric, label: int | None) -> float | None:
    if metric == "f1":
        return case.cells.f1 if case.cells else None
    if label is None:
        return case_mean(case, metric)
    return next(getattr(score, metric) for score in case.labels if score.label == label)


def _over_seeds(seeds: Seeds, value: Callable[[CaseScore], float | None]) -> SeedMean | None:
    """The mean over the seeds; None where no case has a value from all of them."""
    try:
        return statistics.mean_over_seeds(
            [{case.id: value(case) for case in cases} for cases in seeds]
        )
    except UsageError:
        return None


def _score(model: str, mean: SeedMean) -> ModelScore:
    values = list(mean.scores.values())
    return ModelScore(
        model=model,
        n=len(values),
        mean=fmean(values),
        sd=stdev(values) if len(values) > 1 else None,
        seed_sd=mean.seed_sd,
    )


def _difference(means: Mapping[str, SeedMean], model: str, other: str) -> Difference | None:
    """None where the two share no case with a value."""
    ours, theirs = means[model].scores, means[other].scores
    if not ours.keys() & theirs.keys():
        return None
    found = statistics.compare(theirs, ours, seed=SEED)
    return Difference(
        model=model,
        other=other,
        n=found.n,
        mean=found.mean_difference,
        ci95=(found.interval.low, found.interval.high) if found.interval else None,
        p_value=found.p_value,
        p_holm=None,
        effect_size=found.effect_size,
        wins=found.wins,
        ties=found.ties,
        losses=found.losses,
    )


def _ranking(means: Mapping[str, SeedMean]) -> Ranking | None:
    everywhere = [mean.scores.keys() for mean in means.values()]
    if len(means) < 2 or not set.intersection(*map(set, everywhere)):
        return None
    found = statistics.rank({name: mean.scores for name, mean in means.items()}, seed=SEED)
    shares = found.rank_shares or ((),) * len(means)
    columns = (found.models, found.ranks, found.means, found.mean_ranks, shares)
    return Ranking(
        ranks=tuple(
            Rank(model=model, rank=rank, mean=mean, mean_rank=mean_rank, shares=share)
            for model, rank, mean, mean_rank, share in zip(*columns, strict=True)
        ),
        n=found.n,
        kendall_tau=found.kendall_tau,
    )
