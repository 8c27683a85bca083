"""The rules by which different evaluations turn counts and surfaces into scores.

strict is ours. paper repeats the scripts of U-Mamba (arXiv 2401.04722), which TTT-UNet uses, too;
flare22 those of the FLARE22 challenge; nnunet the evaluation of nnU-Net v2.
"""

import numpy as np
from jaxtyping import Integer

from segttt.config.report import LabelScore, Protocol, Scoring

AnyInts = Integer[np.ndarray, "z y x"]

NO_OVERLAP = 0.2
"""Dice below which FLARE22 sets the surface Dice to 0."""
DECIMALS = 4
"""To which the scripts of the papers round each score."""


def adjusted(score: LabelScore, protocol: Protocol, *, picture: bool) -> LabelScore:
    """The strict score of one label as the protocol would have it."""
    if protocol in ("strict", "nnunet"):
        return score
    if score.state == "both_empty" and not (protocol == "paper" and picture):
        # the script for pictures never visits a label that is nowhere
        return score.model_copy(update={"dice": 1.0, "iou": 1.0, "nsd": 1.0})
    if protocol == "flare22" and score.dice is not None and score.dice < NO_OVERLAP:
        return score.model_copy(update={"nsd": 0.0})
    if protocol == "paper":
        rounded = {
            name: None if value is None else round(value, DECIMALS)
            for name, value in (("dice", score.dice), ("nsd", score.nsd))
        }
        return score.model_copy(update=rounded)
    return score


def cropped_slices(truth: AnyInts, label: int, scoring: Scoring) -> slice | None:
    """Slices in which paper and flare22 score the label; None for all of them.

    From the first true slice up to the last, which the published scripts leave out. A label on
    fewer than two slices, where those scripts fail, is scored in all of them.
    """
    if scoring.protocol not in ("paper", "flare22") or label not in scoring.z_crop_labels:
        return None
    slices = np.flatnonzero((truth == label).any(axis=(1, 2)))
    return slice(int(slices[0]), int(slices[-1])) if len(slices) > 1 else None


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
