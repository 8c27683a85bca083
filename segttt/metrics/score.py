"""All scores of one case under a protocol."""

from collections.abc import Sequence
from math import prod

import numpy as np
from jaxtyping import Integer

from segttt.config.report import CaseScore, LabelScore, Scoring
from segttt.metrics.detection import detect
from segttt.metrics.overlap import score_case
from segttt.metrics.protocols import (
    adjusted,
    adjusted_picture,
    as_volume,
    cropped_slices,
    without_slices,
)
from segttt.metrics.surface import surface_scores
from segttt.shapes import Triple

AnyInts = Integer[np.ndarray, "z y x"]
Pair = tuple[AnyInts, AnyInts]
Scores = dict[int, LabelScore]


def score(
    case: str,
    pair: Pair,
    labels: Sequence[int],
    spacing_mm: Triple,
    scoring: Scoring,
) -> CaseScore:
    """Overlap, surfaces, volume error and lesions of every label, as the protocol would have them.

    `pair` holds the values of truth and prediction on one grid. A single slice is a picture, whose
    contours are scored in 2D. Raises `GeometryError` where the shapes differ.
    """
    truth, prediction = pair
    picture = truth.shape[0] == 1
    whole = score_case(case, truth, prediction, labels)
    crops = {label: cropped_slices(truth, label, scoring) for label in labels}
    scores = {one.label: one for one in whole.labels}
    if scoring.surfaces:
        scores |= _entire(
            pair, scores, [n for n in labels if crops[n] is None], spacing_mm, scoring
        )
    for label, crop in crops.items():
        if crop is not None:
            scores[label] = _cropped(pair, scores[label], crop, spacing_mm, scoring)
    if scoring.lesions:
        scores = _with_lesions(pair, scores, spacing_mm, scoring)
    final = list(scores.values())
    if scoring.surfaces and not picture:
        final = [_with_volume_error(one, spacing_mm) for one in final]
    if picture and scoring.protocol == "paper":
        final = adjusted_picture(final, truth, prediction)
    else:
        final = [adjusted(one, scoring) for one in final]
    return whole.model_copy(
        update={"labels": tuple(final), "voxels": truth.size, "picture": picture}
    )


def _entire(
    pair: Pair, scores: Scores, labels: Sequence[int], spacing_mm: Triple, scoring: Scoring
) -> Scores:
    """The scores of labels with their surfaces in the whole volume."""
    if pair[0].shape[0] == 1 and scoring.protocol == "paper":
        pair = (as_volume(pair[0]), as_volume(pair[1]))
    return _measured(pair, scores, labels, spacing_mm, scoring)


def _cropped(
    pair: Pair, whole: LabelScore, crop: slice, spacing_mm: Triple, scoring: Scoring
) -> LabelScore:
    """The score of one label in some slices only."""
    if crop.start == crop.stop:
        return without_slices(whole, scoring.protocol)
    part = (pair[0][crop], pair[1][crop])
    (score,) = score_case("", *part, [whole.label]).labels
    if not scoring.surfaces:
        return score
    if part[0].shape[0] == 1:  # one slice of a volume is not a picture
        part = (as_volume(part[0]), as_volume(part[1]))
    return _measured(part, {score.label: score}, [score.label], spacing_mm, scoring)[score.label]


def _measured(
    pair: Pair, scores: Scores, labels: Sequence[int], spacing_mm: Triple, scoring: Scoring
) -> Scores:
    """The scores of some labels with their surfaces."""
    tolerances = {label: scoring.tolerance_mm(label) for label in labels}
    return {
        one.label: scores[one.label].model_copy(
            update={
                "nsd": one.nsd,
                "tolerance_mm": tolerances[one.label],
                "hd95_mm": one.hd95_mm,
                "assd_mm": one.assd_mm,
            }
        )
        for one in surface_scores(*pair, labels, spacing_mm, tolerances)
    }


def _with_lesions(pair: Pair, scores: Scores, spacing_mm: Triple, scoring: Scoring) -> Scores:
    found = detect(*pair, list(scores), scoring.lesions, voxel_mm3=prod(spacing_mm))
    return {
        label: score.model_copy(update={"lesions": lesions})
        for (label, score), lesions in zip(scores.items(), found, strict=True)
    }


def _with_volume_error(score: LabelScore, spacing_mm: Triple) -> LabelScore:
    error = (score.n_prediction - score.n_truth) * prod(spacing_mm) / 1000
    return score.model_copy(update={"volume_error_ml": error})
