"""All scores of one case under a protocol."""

from collections.abc import Sequence
from math import prod

import numpy as np
from jaxtyping import Integer

from segttt.config.report import CaseScore, LabelScore, Scoring
from segttt.metrics.overlap import score_case
from segttt.metrics.protocols import adjusted, as_volume, cropped_slices
from segttt.metrics.surface import surface_scores
from segttt.shapes import Triple

AnyInts = Integer[np.ndarray, "z y x"]
Pair = tuple[AnyInts, AnyInts]


def score(
    case: str,
    pair: Pair,
    labels: Sequence[int],
    spacing_mm: Triple,
    scoring: Scoring,
) -> CaseScore:
    """Overlap, surfaces and volume error of every label, as the protocol would have them.

    `pair` holds the values of truth and prediction on one grid. A single slice is a picture, whose
    contours are scored in 2D. Raises `GeometryError` where the shapes differ.
    """
    truth, prediction = pair
    whole = score_case(case, truth, prediction, labels)
    picture = truth.shape[0] == 1
    crops = {label: cropped_slices(truth, label, scoring) for label in labels}
    scores = {one.label: one for one in whole.labels}
    for label, crop in crops.items():
        if crop is not None:
            (scores[label],) = score_case(case, truth[crop], prediction[crop], [label]).labels
    if scoring.surfaces:
        # the papers' script sees a picture as a volume of one slice
        flat = picture and scoring.protocol == "paper"
        seen = (as_volume(truth), as_volume(prediction)) if flat else pair
        entire = [label for label, crop in crops.items() if crop is None]
        measured = _measured(seen, scores, entire, spacing_mm, scoring)
        for label, crop in crops.items():
            if crop is not None:
                part = (truth[crop], prediction[crop])
                if part[0].shape[0] == 1:  # one slice of a volume is not a picture
                    part = (as_volume(part[0]), as_volume(part[1]))
                measured |= _measured(part, scores, [label], spacing_mm, scoring)
        scores |= measured
    final = (adjusted(scores[label], scoring.protocol, picture=picture) for label in labels)
    return whole.model_copy(update={"labels": tuple(final), "voxels": truth.size})


def _measured(
    pair: Pair,
    scores: dict[int, LabelScore],
    labels: Sequence[int],
    spacing_mm: Triple,
    scoring: Scoring,
) -> dict[int, LabelScore]:
    """The scores of some labels with their surfaces and volume errors."""
    tolerances = {label: scoring.tolerance_mm(label) for label in labels}
    picture = pair[0].shape[0] == 1
    return {
        one.label: scores[one.label].model_copy(
            update={
                "nsd": one.nsd,
                "tolerance_mm": tolerances[one.label],
                "hd95_mm": one.hd95_mm,
                "assd_mm": one.assd_mm,
                "volume_error_ml": None if picture else _error_ml(scores[one.label], spacing_mm),
            }
        )
        for one in surface_scores(*pair, labels, spacing_mm, tolerances)
    }


def _error_ml(score: LabelScore, spacing_mm: Triple) -> float:
    return (score.n_prediction - score.n_truth) * prod(spacing_mm) / 1000
