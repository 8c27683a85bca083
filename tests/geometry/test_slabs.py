"""Arrays in parts."""

import numpy as np
import pytest

from segttt.geometry import slabs
from segttt.geometry.slabs import slab_slices, value_counts


@pytest.mark.parametrize("shape", [(1,), (7,), (10, 3, 4), (5, 60, 2), (0, 3, 3), (3, 0, 2)])
def test_slabs_cover_the_first_axis_once(monkeypatch, shape):
    monkeypatch.setattr(slabs, "SLAB_VOXELS", 30)
    parts = list(slab_slices(shape))
    covered = [index for part in parts for index in range(part.start, part.stop)]
    assert covered == list(range(shape[0]))
    for part in parts:
        depth = part.stop - part.start
        assert depth == 1 or depth * np.prod(shape[1:]) <= 30


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32])
def test_counts_equal_numpy(monkeypatch, dtype):
    monkeypatch.setattr(slabs, "SLAB_VOXELS", 50)
    labels = np.random.default_rng(0).integers(0, 9, (6, 5, 7)).astype(dtype) * 20
    labels[5, 4, 6] = 7  # in the last slab only, and not in its order
    values, counts = np.unique(labels, return_counts=True)
    found = value_counts(labels.transpose(2, 0, 1))
    assert list(found.items()) == list(zip(values.tolist(), counts.tolist(), strict=True))
    assert value_counts(labels[:0]) == {}
