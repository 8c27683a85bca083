"""The rules by which different evaluations turn counts and surfaces into scores.

strict is ours. paper repeats the scripts of U-Mamba (arXiv 2401.04722), which TTT-UNet uses, too;
flare22 those of the FLARE challenge, from 2022 on; nnunet the evaluation of nnU-Net v2.
"""

from collections.abc import Sequence
from statistics import fmean

import numpy as np
from jaxtyping import Integer

from segttt.config.report import CaseScore, CellScore, LabelScore, Protocol, Scoring

AnyInts = Integer[np.ndarray, "z y x"]

NO_OVERLAP = 0.2
"""Dice below which FLARE sets the surface Dice to 0."""
DECIMALS = 4
"""To which the published scripts round each score."""
NO_VALUE = {"dice": None, "iou": None, "nsd": None, "hd95_mm": None, "assd_mm": None}


def adjusted(score: LabelScore, scoring: Scoring) -> LabelScore:
    """The strict score of one label of a volume as the protocol would have it."""
    if scoring.protocol in ("strict", "nnunet"):
        return score
    dice, iou, nsd = score.dice, score.iou, score.nsd
    if score.state == "both_empty":
        dice = iou = nsd = 1.0
    elif scoring.protocol == "flare22" and dice is not None and dice < NO_OVERLAP:
        nsd = 0.0
    nsd = nsd if scoring.surfaces else None
    return score.model_copy(update={"dice": _rounded(dice), "iou": iou, "nsd": _rounded(nsd)})


def adjusted_picture(
    scores: Sequence[LabelScore], truth: AnyInts, prediction: AnyInts
) -> list[LabelScore]:
    """The strict scores of a picture as the papers' script would have them.

    It visits the values that occur, but takes the smallest of truth and prediction for background
    without a look at it. Where a picture has none, a label has no score.
    """
    values = (np.unique(side)[1:].tolist() for side in (truth, prediction))
    visited = set().union(*values)
    return [
        score if score.label in visited else score.model_copy(update=NO_VALUE) for score in scores
    ]


def adjusted_cells(cells: CellScore, protocol: Protocol) -> CellScore:
    """The score of the cells of a picture as the protocol would have it."""
    if protocol != "paper":
        return cells
    names = ("precision", "recall", "f1", "dice")
    return cells.model_copy(update={name: _rounded(getattr(cells, name)) for name in names})


def case_mean(case: CaseScore, metric: str, protocol: Protocol = "strict") -> float | None:
    """Mean of one metric over the labels of a case that have a value.

    The papers' script for pictures counts values that are no label, too, as 0, and rounds the mean.
    """
    values = [getattr(score, metric) for score in case.labels]
    known = [value for value in values if value is not None]
    if protocol == "paper" and case.picture and metric in ("dice", "nsd"):
        known += [0.0] * len(case.undeclared)
        return _rounded(fmean(known)) if known else None
    return fmean(known) if known else None


def mean_over_labels(protocol: Protocol, *, picture: bool) -> bool:
    """Whether the mean is over labels of their means over cases, not the other way round."""
    return protocol == "nnunet" or (protocol in ("paper", "flare22") and not picture)


def cropped_slices(truth: AnyInts, label: int, scoring: Scoring) -> slice | None:
    """Slices in which paper and flare22 score the label; None for all of them.

    From the first true slice up to the last, which the published scripts leave out: none at all
    where the label is on a single slice.
    """
    if scoring.protocol not in ("paper", "flare22") or label not in scoring.z_crop_labels:
        return None
    slices = np.flatnonzero((truth == label).any(axis=(1, 2)))
    return slice(int(slices[0]), int(slices[-1])) if len(slices) else None


def without_slices(score: LabelScore, protocol: Protocol) -> LabelScore:
    """The score of a label that the crop leaves without any slice, where the scripts divide by 0.

    FLARE's looks for a missing prediction first.
    """
    missed = protocol == "flare22" and score.state == "prediction_empty"
    return score if missed else score.model_copy(update=NO_VALUE)


def as_volume(picture: Integer[np.ndarray, "1 y x"]) -> Integer[np.ndarray, "3 y x"]:
    """A picture between two empty slices, as the papers' script sees it: with top and bottom."""
    return np.pad(picture, ((1, 1), (0, 0), (0, 0)))


def remarks(scoring: Scoring, *, picture: bool) -> list[str]:
    """What a reader must know to read the protocol's figures rightly."""
    said = []
    cropping = scoring.protocol in ("paper", "flare22") and scoring.z_crop_labels and not picture
    if cropping:
        labels = ", ".join(map(str, scoring.z_crop_labels))
        said.append(
            f"Labels {labels} are scored from the first to the last but one true slice only, so "
            "what is predicted above or below costs nothing."
        )
    if scoring.protocol == "paper" and picture and scoring.surfaces:
        said.append(
            "The papers' script takes a picture for a volume of one slice, so its surface Dice "
            "counts mostly area; the contour alone scores lower."
        )
    if scoring.protocol == "nnunet":
        said.append(
            "Labels absent from truth and prediction are left out; the mean is over labels."
        )
    return said


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DECIMALS)
