"""Dice and IoU of every label of one case, from one joint histogram."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Integer

from segttt.config.report import CaseScore, LabelScore, State
from segttt.errors import GeometryError

CHUNK = 1 << 18  # voxels; the int64 keys of bincount (2 MiB) then stay in the cache: 1.5x faster

AnyInts = Integer[np.ndarray, "..."]


def score_case(case: str, truth: AnyInts, prediction: AnyInts, labels: Sequence[int]) -> CaseScore:
    """Score one case and name the predicted values that are no label.

    Both arrays hold values of the dataset on one grid. Values that are not in `labels` count as
    background. Raises `GeometryError` where the shapes differ.
    """
    joint = _joint(truth, prediction, labels)
    scores = tuple(_score(joint, i, label) for i, label in enumerate(labels, start=1))
    return CaseScore(
        id=case,
        labels=scores,
        undeclared=_undeclared(prediction, labels) if joint[:, -1].any() else {},
    )


def overlap(truth: AnyInts, prediction: AnyInts, labels: Sequence[int]) -> list[LabelScore]:
    """Overlap of each label, in the order of `labels`, by the strict protocol.

    A label absent from truth and prediction has no score (None); absent from one of them, 0.
    Raises `GeometryError` where the shapes differ.
    """
    return list(score_case("", truth, prediction, labels).labels)


def _joint(truth: AnyInts, prediction: AnyInts, labels: Sequence[int]) -> np.ndarray:
    """Voxels by [true class, predicted class]: background, the labels in order, all else."""
    if truth.shape != prediction.shape:
        raise GeometryError(
            f"The truth has shape {truth.shape} but the prediction {prediction.shape} (z, y, x). "
            "Bring both onto one grid first."
        )
    table, classes = _classes(labels), len(labels) + 2
    if all(side.min(initial=0) >= 0 and side.max(initial=0) < 256 for side in (truth, prediction)):
        # Counting pairs of values and folding the counts saves two look-ups per voxel: 2x faster.
        pairs = _pairs(truth, prediction, 256, lambda values: values)
        fold = np.eye(classes)[table[:256]]  # floats hold such counts exactly, 40x faster
        return (fold.T @ pairs @ fold).astype(np.int64)
    return _pairs(truth, prediction, classes, lambda values: table[_position(values, len(table))])


def _pairs(
    truth: AnyInts, prediction: AnyInts, side: int, code: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Voxels by [code of the truth, code of the prediction], codes 0..side-1."""
    counts = np.zeros(side**2, dtype=np.int64)
    flat_truth, flat_prediction = truth.reshape(-1), prediction.reshape(-1)
    for start in range(0, flat_truth.size, CHUNK):
        part = slice(start, start + CHUNK)
        key = code(flat_truth[part]).astype(np.min_scalar_type(side**2 - 1))
        key *= key.dtype.type(side)
        key += code(flat_prediction[part]).astype(key.dtype)
        counts += np.bincount(key, minlength=side**2)
    return counts.reshape(side, side)


def _classes(labels: Sequence[int]) -> np.ndarray:
    """Class of each value from 0 to one past the largest label; the last entry is for the rest."""
    table = np.full(max([*labels, 255]) + 2, len(labels) + 1, dtype=np.intp)
    table[0] = 0
    table[list(labels)] = range(1, len(labels) + 1)
    return table


def _position(values: np.ndarray, entries: int) -> np.ndarray:
    """Where values stand in a table of that many entries; what lies outside goes to the last."""
    known = (values >= 0) & (values < entries)
    return np.where(known, values, entries - 1).astype(np.intp)


def _score(joint: np.ndarray, i: int, label: int) -> LabelScore:
    tp, n_truth, n_prediction = (int(n) for n in (joint[i, i], joint[i].sum(), joint[:, i].sum()))
    union = n_truth + n_prediction - tp
    return LabelScore(
        label=label,
        state=_state(n_truth, n_prediction),
        tp=tp,
        fp=n_prediction - tp,
        fn=n_truth - tp,
        n_truth=n_truth,
        n_prediction=n_prediction,
        dice=2 * tp / (n_truth + n_prediction) if union else None,
        iou=tp / union if union else None,
    )


def _state(n_truth: int, n_prediction: int) -> State:
    if n_truth and n_prediction:
        return "ok"
    if n_truth:
        return "prediction_empty"
    return "truth_empty" if n_prediction else "both_empty"


def _undeclared(prediction: AnyInts, labels: Sequence[int]) -> dict[int, int]:
    foreign = prediction[~np.isin(prediction, [0, *labels])]
    values, voxels = np.unique(foreign, return_counts=True)
    return dict(zip(values.tolist(), voxels.tolist(), strict=True))
