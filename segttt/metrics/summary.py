"""From the scores of cases to one summary."""

from collections.abc import Mapping, Sequence
from statistics import fmean, median, stdev

from segttt.config.report import CaseScore, LabelSummary, RankedCase, Statistics, Summary

WORST = 3


def summarise(
    cases: Sequence[CaseScore], names: Mapping[int, str], *, n_failed: int = 0
) -> Summary:
    """Sum up the strict scores of `cases`, which all hold the labels of `names` in its order.

    A case in which no label has a value (all empty) counts in `n_cases` but in no mean.
    """
    per_label = tuple(_label(cases, label, name) for label, name in names.items())
    dice = {case.id: _mean([score.dice for score in case.labels]) for case in cases}
    iou = [_mean([score.iou for score in case.labels]) for case in cases]
    over_cases = statistics(list(dice.values()))
    return Summary(
        protocol="strict",
        n_cases=len(cases),
        n_failed=n_failed,
        per_label=per_label,
        mean_dice=over_cases.mean,
        mean_iou=_mean(iou),
        sd_cases=over_cases.sd,
        sd_labels=statistics([label.dice.mean for label in per_label]).sd,
        worst=_worst(dice),
        undeclared=_undeclared(cases),
    )


def statistics(scores: Sequence[float | None]) -> Statistics:
    """Spread of the scores that have a value."""
    known = [score for score in scores if score is not None]
    if not known:
        return Statistics(n=0)
    return Statistics(
        n=len(known),
        mean=fmean(known),
        sd=stdev(known) if len(known) > 1 else None,
        median=median(known),
        min=min(known),
    )


def _label(cases: Sequence[CaseScore], label: int, name: str) -> LabelSummary:
    scores = {case.id: next(s for s in case.labels if s.label == label) for case in cases}
    states = [score.state for score in scores.values()]
    return LabelSummary(
        label=label,
        name=name,
        dice=statistics([score.dice for score in scores.values()]),
        iou=statistics([score.iou for score in scores.values()]),
        n_both_empty=states.count("both_empty"),
        n_truth_empty=states.count("truth_empty"),
        n_prediction_empty=states.count("prediction_empty"),
        worst=_worst({case: score.dice for case, score in scores.items()}),
    )


def _mean(scores: Sequence[float | None]) -> float | None:
    return statistics(scores).mean


def _worst(dice: Mapping[str, float | None]) -> tuple[RankedCase, ...]:
    known = [(score, case) for case, score in dice.items() if score is not None]
    return tuple(RankedCase(id=case, dice=score) for score, case in sorted(known)[:WORST])


def _undeclared(cases: Sequence[CaseScore]) -> dict[int, int]:
    values = [value for case in cases for value in case.undeclared]
    return {value: values.count(value) for value in sorted(set(values))}
