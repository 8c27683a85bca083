"""From the scores of cases to one summary."""

from collections.abc import Mapping, Sequence
from statistics import fmean, median, stdev

from segttt.config.report import (
    SURFACE_METRICS,
    CaseScore,
    CellSummary,
    LabelSummary,
    Protocol,
    RankedCase,
    Statistics,
    Summary,
)
from segttt.metrics.statistics import FEWEST, mean_interval

WORST = 3


def summarise(
    cases: Sequence[CaseScore],
    names: Mapping[int, str],
    *,
    n_failed: int = 0,
    protocol: Protocol = "strict",
    remarks: Sequence[str] = (),
) -> Summary:
    """Sum up the scores of `cases`, which all hold the labels of `names` in its order.

    A case in which no label has a value (all empty) counts in `n_cases` but in no mean. Means are
    over cases of the mean over labels; nnunet takes the mean over labels of the mean over cases.
    """
    per_label = tuple(_label(cases, label, name) for label, name in names.items())

    def mean(metric: str) -> float | None:
        if protocol == "nnunet":
            return _mean([getattr(label, metric).mean for label in per_label])
        return _mean([_case_mean(case, metric) for case in cases])

    dice = {case.id: _case_mean(case, "dice") for case in cases}
    return Summary(
        protocol=protocol,
        n_cases=len(cases),
        n_failed=n_failed,
        per_label=per_label,
        mean_dice=mean("dice"),
        ci95=None if protocol == "nnunet" else _interval(list(dice.values())),
        mean_iou=mean("iou"),
        mean_nsd=mean("nsd"),
        mean_hd95_mm=mean("hd95_mm"),
        mean_assd_mm=mean("assd_mm"),
        sd_cases=statistics(list(dice.values())).sd,
        sd_labels=statistics([label.dice.mean for label in per_label]).sd,
        worst=_worst(dice),
        undeclared=_undeclared(cases),
        cells=_cells(cases),
        remarks=tuple(remarks),
    )


def _cells(cases: Sequence[CaseScore]) -> CellSummary | None:
    scores = [case.cells for case in cases if case.cells is not None]
    if not scores:
        return None
    return CellSummary(
        threshold=scores[0].threshold,
        **{
            metric: statistics([getattr(score, metric) for score in scores])
            for metric in ("f1", "precision", "recall", "pq")
        },
        n_truth=sum(score.n_truth for score in scores),
        n_prediction=sum(score.n_prediction for score in scores),
        tp=sum(score.tp for score in scores),
    )


def _interval(scores: Sequence[float | None]) -> tuple[float, float] | None:
    known = [score for score in scores if score is not None]
    if len(known) < FEWEST:
        return None
    found = mean_interval(known, seed=0)
    return found.low, found.high


def _case_mean(case: CaseScore, metric: str) -> float | None:
    return _mean([getattr(score, metric) for score in case.labels])


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
        **{
            metric: statistics([getattr(score, metric) for score in scores.values()])
            for metric in ("dice", "iou", *SURFACE_METRICS)
        },
        tolerance_mm=next((score.tolerance_mm for score in scores.values()), None),
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
