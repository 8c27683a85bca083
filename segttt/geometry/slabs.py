"""Arrays in parts that stay in the caches, for passes whose temporaries would outgrow the array."""

from collections import Counter
from collections.abc import Iterator
from math import prod

import numpy as np
from jaxtyping import Integer

SLAB_VOXELS = 2**18
"""Of a part; its 64-bit temporaries take 2 MiB, which a second-level cache holds."""


def slab_slices(shape: tuple[int, ...]) -> Iterator[slice]:
    """Consecutive parts of the first axis with at most SLAB_VOXELS elements, or one index."""
    step = max(1, SLAB_VOXELS // max(1, prod(shape[1:])))
    for first in range(0, shape[0], step):
        yield slice(first, min(first + step, shape[0]))


def value_counts(labels: Integer[np.ndarray, "*grid"]) -> dict[int, int]:
    """How often each value occurs, in ascending order of the values."""
    counts: Counter[int] = Counter()
    for slab in slab_slices(labels.shape):
        values, numbers = np.unique(labels[slab], return_counts=True)
        counts.update(dict(zip(values.tolist(), numbers.tolist(), strict=True)))
    return dict(sorted(counts.items()))
