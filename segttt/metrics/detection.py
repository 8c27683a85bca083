"""Lesions found, missed and invented: connected components of each label."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Integer
from scipy import ndimage

from segttt.errors import GeometryError
from segttt.metrics.instances import Overlaps, matched, overlaps

AnyInts = Integer[np.ndarray, "..."]


@dataclass(frozen=True)
class DetectionScore:
    """Lesions of one label in one case."""

    label: int
    n_truth: int
    n_prediction: int
    tp: int
    """True lesions that were found."""
    fn: int
    """True lesions that were missed."""
    fp: int
    """Predicted lesions that are none."""
    sensitivity: float | None
    """tp / (tp + fn); None where the truth has no lesion."""
    precision: float | None
    """tp / (tp + fp); None where nothing was predicted."""
    f1: float | None
    """2 tp / (2 tp + fp + fn); None where neither has a lesion."""


def detect(
    truth: AnyInts, prediction: AnyInts, labels: Sequence[int], *, iou: float | None = None
) -> tuple[DetectionScore, ...]:
    """Score the lesions of each label; a lesion is a component that is connected over corners too.

    Without `iou` a true lesion is found where a single voxel of it is predicted, so that one
    predicted lesion may find several, and a predicted lesion is false where it touches no true one.
    With `iou` they are matched one to one at that IoU or above. Raises `GeometryError` where the
    shapes differ, `UsageError` for an IoU outside 0..1.
    """
    if truth.shape != prediction.shape:
        raise GeometryError(
            f"The truth has shape {truth.shape} but the prediction {prediction.shape} (z, y, x). "
            "Bring both onto one grid first."
        )
    return tuple(_score(label, truth == label, prediction == label, iou) for label in labels)


def _score(
    label: int, truth: np.ndarray, prediction: np.ndarray, iou: float | None
) -> DetectionScore:
    box = _box(truth | prediction)
    pairs = overlaps(_lesions(truth[box]), _lesions(prediction[box]))
    tp, fp = _touched(pairs) if iou is None else _matched(pairs, iou)
    fn = pairs.n_truth - tp
    return DetectionScore(
        label=label,
        n_truth=pairs.n_truth,
        n_prediction=pairs.n_prediction,
        tp=tp,
        fn=fn,
        fp=fp,
        sensitivity=tp / pairs.n_truth if pairs.n_truth else None,
        precision=tp / (tp + fp) if pairs.n_prediction else None,
        f1=2 * tp / (2 * tp + fp + fn) if tp + fp + fn else None,
    )


def _touched(pairs: Overlaps) -> tuple[int, int]:
    tp, hits = (len(np.unique(side)) for side in (pairs.truth, pairs.prediction))
    return tp, pairs.n_prediction - hits


def _matched(pairs: Overlaps, iou: float) -> tuple[int, int]:
    tp = len(matched(pairs, iou))
    return tp, pairs.n_prediction - tp


def _box(mask: np.ndarray) -> tuple[slice, ...]:
    """The smallest box around the mask: labelling a whole scan for one lesion would be slow."""
    found = ndimage.find_objects(mask.astype(np.uint8))
    return found[0] if found else (slice(0, 0),) * mask.ndim


def _lesions(mask: np.ndarray) -> np.ndarray:
    labels = np.empty(mask.shape, np.int32)
    ndimage.label(mask, np.ones((3,) * mask.ndim, bool), output=labels)
    return labels
