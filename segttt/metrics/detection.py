"""Lesions found, missed and invented: connected components of each label."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Integer
from scipy import ndimage

from segttt.config.report import LesionRule, LesionScore
from segttt.errors import GeometryError
from segttt.metrics.instances import Overlaps, matched, overlaps

AnyInts = Integer[np.ndarray, "..."]


def detect(
    truth: AnyInts,
    prediction: AnyInts,
    labels: Sequence[int],
    rule: LesionRule | None = None,
    *,
    voxel_mm3: float = 1.0,
) -> list[LesionScore]:
    """Score the lesions of each label, in the order of `labels`, by the rule.

    The pictures of a set have `voxel_mm3` 1. Raises `GeometryError` where the shapes differ.
    """
    rule = rule or LesionRule()
    if truth.shape != prediction.shape:
        raise GeometryError(
            f"The truth has shape {truth.shape} but the prediction {prediction.shape} (z, y, x). "
            "Bring both onto one grid first."
        )
    smallest = rule.smallest_mm3 / voxel_mm3
    return [_score(truth == label, prediction == label, rule, smallest) for label in labels]


def lesion_score(n_truth: int, n_prediction: int, found: int, false: int) -> LesionScore:
    """The score of these counts, of one case or of many."""
    missed = n_truth - found
    return LesionScore(
        n_truth=n_truth,
        n_prediction=n_prediction,
        found=found,
        missed=missed,
        false=false,
        sensitivity=found / n_truth if n_truth else None,
        precision=found / (found + false) if n_prediction else None,
        f1=2 * found / (2 * found + false + missed) if n_truth or n_prediction else None,
    )


def _score(
    truth: np.ndarray, prediction: np.ndarray, rule: LesionRule, smallest: float
) -> LesionScore:
    box = _box(truth | prediction)
    sides = [_lesions(mask[box], rule, smallest) for mask in (truth, prediction)]
    pairs = overlaps(*sides)
    found, false = _touched(pairs) if rule.iou is None else _matched(pairs, rule.iou)
    return lesion_score(pairs.n_truth, pairs.n_prediction, found, false)


def _touched(pairs: Overlaps) -> tuple[int, int]:
    found, hits = (len(np.unique(side)) for side in (pairs.truth, pairs.prediction))
    return found, pairs.n_prediction - hits


def _matched(pairs: Overlaps, iou: float) -> tuple[int, int]:
    found = len(matched(pairs, iou))
    return found, pairs.n_prediction - found


def _box(mask: np.ndarray) -> tuple[slice, ...]:
    """The smallest box around the mask: labelling a whole scan for one lesion would be slow."""
    found = ndimage.find_objects(mask.view(np.uint8))
    return found[0] if found else (slice(0, 0),) * mask.ndim


def _lesions(mask: np.ndarray, rule: LesionRule, smallest: float) -> np.ndarray:
    """Numbered components of at least `smallest` voxels."""
    reach = mask.ndim if rule.connectivity == "corners" else 1
    labels = np.empty(mask.shape, np.int32)
    ndimage.label(mask, ndimage.generate_binary_structure(mask.ndim, reach), output=labels)
    if smallest <= 1:
        return labels
    large = np.bincount(labels.reshape(-1)) >= smallest
    return labels * large[labels]
