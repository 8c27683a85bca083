"""From the scores of cases to one summary."""

from collections.abc import Mapping, Sequence
from statistics import fmean, median, stdev

import numpy as np

from segttt.config.report import (
    SURFACE_METRICS,
    CaseScore,
    CellScore,
    CellSummary,
    LabelScore,
    LabelSummary,
    LesionSummary,
    Protocol,
    RankedCase,
    Statistics,
    Summary,
)
from segttt.metrics.detection import lesion_score
from segttt.metrics.protocols import case_mean, mean_over_labels
from segttt.metrics.statistics import FEWEST, mean_interval

WORST = 3
INTERVALS = ("dice", "nsd")
"""What has a confidence interval: resampling the others as well would take longer than scoring."""


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
    over cases of the mean over labels; nnunet, paper and flare22 (of volumes) take the mean over
    labels of the mean over cases.
    """
    per_label = tuple(_label(cases, label, name) for label, name in names.items())
    picture = bool(cases) and all(case.picture for case in cases)
    by_label = mean_over_labels(protocol, picture=picture)
    dice, nsd = (
        {case.id: case_mean(case, metric, protocol) for case in cases} for metric in INTERVALS
    )

    def mean(metric: str) -> float | None:
        if by_label:
            return _mean([getattr(label, metric).mean for label in per_label])
        return _mean([case_mean(case, metric, protocol) for case in cases])

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
        nsd_ci95=None if protocol == "nnunet" else _interval(list(nsd.values())),
        nsd_sd_cases=statistics(list(nsd.values())).sd,
        nsd_sd_labels=statistics([label.nsd.mean for label in per_label]).sd,
        worst=_worst(dice),
        undeclared=_undeclared(cases),
        cells=_cells([case.cells for case in cases if case.cells is not None]),
        more_cells=_more_cells(cases),
        remarks=tuple(remarks),
    )


def _more_cells(cases: Sequence[CaseScore]) -> tuple[CellSummary, ...]:
    """The cells at each further threshold."""
    by_threshold = zip(*(case.more_cells for case in cases), strict=True)
    summaries = (_cells(scores) for scores in by_threshold)
    return tuple(summary for summary in summaries if summary is not None)


def _cells(scores: Sequence[CellScore]) -> CellSummary | None:
    if not scores:
        return None
    return CellSummary(
        threshold=scores[0].threshold,
        **{
            metric: statistics([getattr(score, metric) for score in scores], interval=True)
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


def statistics(scores: Sequence[float | None], *, interval: bool = False) -> Statistics:
    """Spread of the scores that have a value, with a confidence interval of the mean on request.

    Quartiles lie between the values next to them, in proportion.
    """
    known = [score for score in scores if score is not None]
    if not known:
        return Statistics(n=0)
    q1, q3 = np.quantile(known, (0.25, 0.75)).tolist()
    return Statistics(
        n=len(known),
        mean=fmean(known),
        sd=stdev(known) if len(known) > 1 else None,
        median=median(known),
        q1=q1,
        q3=q3,
        min=min(known),
        max=max(known),
        ci95=_interval(known) if interval else None,
    )


def _label(cases: Sequence[CaseScore], label: int, name: str) -> LabelSummary:
    scores = {case.id: next(s for s in case.labels if s.label == label) for case in cases}
    states = [score.state for score in scores.values()]
    return LabelSummary(
        label=label,
        name=name,
        **{
            metric: statistics(
                [getattr(score, metric) for score in scores.values()], interval=metric in INTERVALS
            )
            for metric in ("dice", "iou", *SURFACE_METRICS)
        },
        tolerance_mm=next((score.tolerance_mm for score in scores.values()), None),
        n_both_empty=states.count("both_empty"),
        n_truth_empty=states.count("truth_empty"),
        n_prediction_empty=states.count("prediction_empty"),
        worst=_worst({case: score.dice for case, score in scores.items()}),
        lesions=_lesions(list(scores.values())),
        strict=None,
    )


def _lesions(scores: Sequence[LabelScore]) -> LesionSummary | None:
    """All lesions of one label, and the spread over the cases."""
    each = [score.lesions for score in scores if score.lesions is not None]
    if not each:
        return None
    counts = ("n_truth", "n_prediction", "found", "false")
    total = lesion_score(*(sum(getattr(one, name) for one in each) for name in counts))
    return LesionSummary(
        total=total,
        sensitivity=statistics([one.sensitivity for one in each]),
        precision=statistics([one.precision for one in each]),
        f1=statistics([one.f1 for one in each]),
        false_per_case=total.false / len(each),
    )


def _mean(scores: Sequence[float | None]) -> float | None:
    return statistics(scores).mean


def _worst(dice: Mapping[str, float | None]) -> tuple[RankedCase, ...]:
    known = [(score, case) for case, score in dice.items() if score is not None]
    return tuple(RankedCase(id=case, dice=score) for score, case in sorted(known)[:WORST])


def _undeclared(cases: Sequence[CaseScore]) -> dict[int, int]:
    values = [value for case in cases for value in case.undeclared]
    return {value: values.count(value) for value in sorted(set(values))}
