"""Scores in the shape of nnU-Net's summary.json, for programs that read that."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from segttt.config.report import CaseScore

FIGURES = ("Dice", "IoU", "FP", "TP", "FN", "TN", "n_pred", "n_ref")


def nnunet_summary(cases: Sequence[CaseScore], names: Mapping[int, str]) -> dict[str, Any]:
    """Per case, the mean over cases of each label, and the mean over labels.

    What has no value is null, where nnU-Net writes NaN, and counts in no mean.
    """
    per_case = [
        {"case": case.id, "metrics": {str(one.label): _metrics(case, one) for one in case.labels}}
        for case in cases
    ]
    mean = {
        str(label): {
            figure: _mean([case["metrics"][str(label)][figure] for case in per_case])
            for figure in FIGURES
        }
        for label in names
    }
    foreground = {figure: _mean([one[figure] for one in mean.values()]) for figure in FIGURES}
    return {"foreground_mean": foreground, "mean": mean, "metric_per_case": per_case}


def _metrics(case: CaseScore, score: Any) -> dict[str, float | int | None]:
    return {
        "Dice": score.dice,
        "IoU": score.iou,
        "FP": score.fp,
        "TP": score.tp,
        "FN": score.fn,
        "TN": case.voxels - score.tp - score.fp - score.fn,
        "n_pred": score.n_prediction,
        "n_ref": score.n_truth,
    }


def _mean(values: Sequence[float | int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
