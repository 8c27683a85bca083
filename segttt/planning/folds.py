"""Cross-validation: which cases train and which validate in each fold."""

from collections.abc import Sequence

import numpy as np

from segttt.config.dataset import Fold
from segttt.errors import DataError

Sides = tuple[tuple[str, ...], tuple[str, ...]]
"""Ids that train, ids that validate; both sorted."""


def kfold(
    ids: Sequence[str], k: int = 5, seed: int = 12345, *, given: Sequence[Fold] = ()
) -> tuple[Sides, ...]:
    """Shuffled k-fold over the sorted ids; the same folds as nnU-Net.

    Equals scikit-learn's KFold(k, shuffle=True, random_state=seed). Fewer cases than folds make
    one fold per case. `given` lists both sides of each fold instead; ids among them that are not in
    `ids` are left out. Raises `DataError` for less than two cases, and for a given fold without any
    case to train or to validate on.
    """
    names = sorted(ids)
    if len(names) < 2:
        raise DataError(
            f"Cross-validation needs at least 2 cases, but there are {len(names)}. "
            "Add cases, or train on all of them with --fold all."
        )
    if given:
        return tuple(_given(names, fold, number) for number, fold in enumerate(given))
    shuffled = np.random.RandomState(seed).permutation(len(names))
    parts = np.array_split(shuffled, min(k, len(names)))
    chosen = [{names[index] for index in part} for part in parts]
    return tuple(
        (tuple(n for n in names if n not in val), tuple(n for n in names if n in val))
        for val in chosen
    )


def _given(names: list[str], fold: Fold, number: int) -> Sides:
    ours, theirs = set(fold.train), set(fold.val)
    trains = tuple(name for name in names if name in ours)
    validates = tuple(name for name in names if name in theirs)
    if not trains or not validates:
        raise DataError(
            f"Fold {number} leaves {len(trains)} cases to train on and {len(validates)} to "
            "validate on. Correct the list of splits, or leave it out."
        )
    return trains, validates
