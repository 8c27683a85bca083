"""Scores in the shape of nnU-Net's summary.json, for programs that read that."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from segttt.config.report import CaseScore

FIGURES = ("Dice", "IoU", "FP", "TP", "FN", "TN", "n_pred", "n_ref")


def nnunet_summary(
    cases: Sequence[CaseScore], names: Mapping[int, str], files: Mapping[str, tuple[str, str]]
) -> dict[str, Any]:
    """Per case, the mean over cases of each label, and the mean over labels.

    `files` are the names of prediction and truth of each case. What has no value is null, where
    nnU-Net writes NaN. A case without a value is part of no mean, but a label without one leaves
    the mean over labels without one, too.
    """
    per_case = [
        {
            "case": case.id,
            "prediction_file": files[case.id][0],
            "reference_file": files[case.id][1],
            "metrics": {str(one.label): _metrics(case, one) for one in case.labels},
        }
        for case in cases
    ]
    mean = {
        str(label): {
            figure: _mean([case["metrics"][str(label)][figure] for case in per_case])
            for figure in FIGURES
        }
        for label in names
    }
    foreground = {
        figure: _mean_of_all([one[figure] for one in mean.values()]) for figure in FIGURES
    }
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


def _mean_of_all(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None
