"""Cross-validation: which cases train and which validate in each fold."""

from collections.abc import Sequence

import numpy as np

from segttt.errors import DataError

Fold = tuple[tuple[str, ...], tuple[str, ...]]
"""Ids that train, ids that validate; both sorted."""


def kfold(
    ids: Sequence[str], k: int = 5, seed: int = 12345, *, given: Sequence[Sequence[str]] = ()
) -> tuple[Fold, ...]:
    """Shuffled k-fold over the sorted ids; the same folds as nnU-Net.

    Equals scikit-learn's KFold(k, shuffle=True, random_state=seed). Fewer cases than folds make
    one fold per case. `given` lists the validation ids of each fold instead; ids among them that
    are not in `ids` are left out. Raises `DataError` for less than two cases, and for a given
    fold without any case to train or to validate on.
    """
    names = sorted(ids)
    if len(names) < 2:
        raise DataError(
            f"Cross-validation needs at least 2 cases, but there are {len(names)}. "
            "Add cases, or train on all of them with --fold all."
        )
    if given:
        return tuple(_fold(names, set(chosen), number) for number, chosen in enumerate(given))
    shuffled = np.random.RandomState(seed).permutation(len(names))
    parts = np.array_split(shuffled, min(k, len(names)))
    return tuple(
        _fold(names, {names[index] for index in part}, number) for number, part in enumerate(parts)
    )


def _fold(names: list[str], chosen: set[str], number: int) -> Fold:
    trains = tuple(name for name in names if name not in chosen)
    validates = tuple(name for name in names if name in chosen)
    if not trains or not validates:
        raise DataError(
            f"Fold {number} leaves {len(trains)} cases to train on and {len(validates)} to "
            "validate on. Correct the list of splits, or leave it out."
        )
    return trains, validates
