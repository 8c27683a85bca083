"""Folds that keep groups together and hold every label about equally often.

Iterative stratification after Sechidis et al., "On the Stratification of Multi-label Data" (ECML
PKDD 2011), over groups (patients) instead of cases: the rarest label is dealt out first, each group
to the fold that still wants it most.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from segttt.config.dataset import Fold
from segttt.errors import DataError

EVERY = -1
"""Stands for a label that every case has, so that folds are equally large."""


@dataclass(frozen=True, eq=False)
class _Group:
    """The cases of one patient."""

    ids: Sequence[str]
    cases: Counter[int]
    """Label -> cases that have it."""
    volume: Mapping[int, float]


@dataclass(frozen=True)
class _Part:
    """A fold while it is filled."""

    wanted: Counter[int]
    """Label -> how many cases are still wanted, times the number of folds, which keeps it whole."""
    volume: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    ids: list[str] = field(default_factory=list)


def stratified(
    groups: Mapping[str, Sequence[str]],
    volumes: Mapping[str, Mapping[int, float]],
    k: int = 5,
    seed: int = 12345,
) -> tuple[Fold, ...]:
    """At most `k` folds that validate on whole groups; ids are sorted.

    `volumes` gives per case the volume of each label that it has; of two folds that want a label
    equally, the one with less of its volume gets the larger case. Without volumes the folds are as
    equally large as the groups allow. The same input gives the same folds. A `DataError` for less
    than two groups.
    """
    if len(groups) < 2:
        raise DataError(
            f"Cross-validation needs at least 2 patients, but there are {len(groups)}. "
            "Split by case, or train on all of them with --fold all."
        )
    names = sorted(groups)
    order = np.random.RandomState(seed).permutation(len(names))
    shuffled = [_group(groups[names[index]], volumes) for index in order]
    parts = _deal(shuffled, min(k, len(names)))
    everyone = sorted(one for ids in groups.values() for one in ids)
    return tuple(
        Fold(train=tuple(sorted(set(everyone).difference(part.ids))), val=tuple(sorted(part.ids)))
        for part in parts
    )


def _group(ids: Sequence[str], volumes: Mapping[str, Mapping[int, float]]) -> _Group:
    cases, volume = Counter({EVERY: len(ids)}), defaultdict(float, {EVERY: float(len(ids))})
    for one in ids:
        for label, size in volumes.get(one, {}).items():
            cases[label] += 1
            volume[label] += size
    return _Group(ids, cases, volume)


def _deal(groups: Sequence[_Group], count: int) -> list[_Part]:
    """Give every group to a part, the rarest label first."""
    left = list(groups)
    totals: Counter[int] = sum((group.cases for group in left), Counter())
    parts = [_Part(Counter(totals)) for _ in range(count)]
    while left:
        frequency = Counter(label for group in left for label in group.cases)
        rarest = min(frequency, key=lambda label: (frequency[label], label == EVERY, label))
        having = [group for group in left if rarest in group.cases]
        for group in sorted(having, key=lambda one: (-one.cases[rarest], -one.volume[rarest])):
            empty = [part for part in parts if not part.ids]
            part = _neediest(empty if len(empty) >= len(left) else parts, rarest)
            part.ids.extend(group.ids)
            for label, cases in group.cases.items():
                part.wanted[label] -= cases * count
                part.volume[label] += group.volume[label]
            left.remove(group)
    return parts


def _neediest(parts: Sequence[_Part], label: int) -> _Part:
    return max(
        parts, key=lambda part: (part.wanted[label], part.wanted[EVERY], -part.volume[label])
    )
