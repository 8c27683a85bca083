from collections import Counter

import numpy as np
import pytest

from segttt.errors import DataError
from segttt.planning.stratify import stratified


def singles(ids):
    return {one: [one] for one in ids}


def cohort(seed, count=97):
    """Cases with labels of 90, 50, 15 and 5 percent, volumes over two orders of magnitude."""
    random = np.random.default_rng(seed)
    volumes = {}
    for index in range(count):
        present = [
            label for label, p in enumerate((0.9, 0.5, 0.15, 0.05), 1) if random.random() < p
        ]
        volumes[f"{index:03d}"] = {label: float(10 ** random.uniform(0, 2)) for label in present}
    return volumes


def presence(folds, volumes, label):
    return [sum(label in volumes[one] for one in fold.val) for fold in folds]


@pytest.mark.parametrize("seed", range(10))
def test_every_fold_has_its_share_of_every_label(seed):
    volumes = cohort(seed)
    folds = stratified(singles(volumes), volumes)
    assert Counter(one for fold in folds for one in fold.val) == Counter(list(volumes))
    assert {len(fold.val) for fold in folds} <= {18, 19, 20, 21}
    for label in range(1, 5):
        counts = presence(folds, volumes, label)
        assert max(counts) - min(counts) <= 2
    rare = presence(folds, volumes, 4)
    assert max(rare) - min(rare) <= 1  # the rarest label is dealt out first
    for fold in folds:
        assert sorted((*fold.train, *fold.val)) == sorted(volumes)
        assert list(fold.val) == sorted(fold.val)


def test_rare_labels_are_spread_where_chance_leaves_gaps():
    volumes = {f"{i:02d}": {1: 1.0} | ({2: 1.0} if i < 5 else {}) for i in range(50)}
    assert presence(stratified(singles(volumes), volumes), volumes, 2) == [1] * 5


def test_equal_presence_is_balanced_by_volume():
    random = np.random.default_rng(0)
    volumes = {f"{i:02d}": {1: float(10 ** random.uniform(0, 3))} for i in range(50)}
    folds = stratified(singles(volumes), volumes)
    sums = [sum(volumes[one][1] for one in fold.val) for fold in folds]
    assert {len(fold.val) for fold in folds} == {10}
    assert max(sums) / min(sums) < 1.15


@pytest.mark.parametrize("volumes", [{}, {f"{i:02d}": {1: 1.0 + i} for i in range(20)}])
def test_patients_stay_together(volumes):
    groups = {"p": ["00", "01", "02", "03", "04"], "q": ["05", "06"]}
    groups |= singles(f"{i:02d}" for i in range(7, 20))
    folds = stratified(groups, volumes, 4)
    for fold in folds:
        for group in groups.values():
            assert len(set(group) & set(fold.val)) in (0, len(group))
    assert [len(fold.val) for fold in folds] == [5, 5, 5, 5]


def test_the_same_seed_gives_the_same_folds():
    volumes = cohort(3)
    folds = stratified(singles(volumes), volumes)
    shuffled = dict(reversed(volumes.items()))
    assert stratified(singles(shuffled), shuffled) == folds
    assert stratified(singles(volumes), volumes, seed=1) != folds


def test_no_fold_stays_empty():
    volumes = {"a": {1: 1.0, 2: 1.0}, "b": {1: 1.0}, "c": {2: 1.0}, "d": {}, "e": {3: 1.0}}
    for count in (2, 3, 5):
        folds = stratified(singles(volumes), volumes, count)
        assert len(folds) == count
        assert all(fold.val for fold in folds)
    assert len(stratified(singles("abc"), {}, 5)) == 3


def test_one_patient_cannot_be_split():
    with pytest.raises(DataError, match="at least 2 patients"):
        stratified({"p": ["a", "b", "c"]}, {})
