"""The streamed argmax against the naive full computation."""

import numpy as np
import pytest
import torch

from segttt.errors import UsageError
from segttt.geometry.argmax import classes_on_grid
from segttt.geometry.resample import axis_orders, resample


def cut(logits, thickness):
    return logits.split(thickness, dim=1)


def naive(logits, shape, separate):
    return resample(logits.float(), shape, axis_orders(1, separate)).argmax(dim=0).numpy()


def streamed(slabs, depth, shape, separate=None, max_bytes=2**20):
    return np.concatenate(list(classes_on_grid(slabs, depth, shape, separate, max_bytes)))


@pytest.mark.parametrize("thickness", [1, 100])
@pytest.mark.parametrize("max_bytes", [1, 2**17])
@pytest.mark.parametrize(
    ("shape", "separate"),
    [
        ((31, 20, 9), None),
        ((5, 20, 40), None),
        ((13, 15, 17), None),
        ((30, 22, 24), 0),
        ((4, 22, 24), 0),
        ((20, 15, 40), 1),
        ((1, 3, 2), None),
    ],
)
def test_equals_the_naive_computation(thickness, max_bytes, shape, separate):
    logits = torch.randn(4, 13, 15, 17, generator=torch.Generator().manual_seed(5))
    found = streamed(cut(logits, thickness), 13, shape, separate, max_bytes)
    expected = naive(logits, shape, separate)
    assert found.shape == shape
    assert found.dtype == np.uint8
    assert (found == expected).mean() > 0.999  # sums in another order move exact ties only


def test_uneven_slabs_and_half_precision():
    logits = torch.randn(3, 12, 10, 11, generator=torch.Generator().manual_seed(6)).half()
    slabs = logits.split([2, 5, 1, 4], dim=1)
    found = streamed(iter(slabs), 12, (19, 21, 8))
    assert (found == naive(logits, (19, 21, 8), None)).mean() > 0.999


def test_equal_shapes_are_a_plain_argmax():
    logits = torch.randn(5, 6, 7, 8)
    expected = logits.argmax(dim=0).numpy()
    np.testing.assert_array_equal(streamed(cut(logits, 4), 6, (6, 7, 8)), expected)


def test_a_constant_stays_constant_and_a_tie_gives_the_lower_class():
    logits = torch.zeros(4, 3, 5, 5)
    assert not streamed(cut(logits, 2), 3, (7, 9, 4)).any()
    logits[2] += 1
    assert (streamed(cut(logits, 2), 3, (7, 9, 4)) == 2).all()


def test_many_classes_need_sixteen_bits():
    logits = torch.zeros(300, 1, 2, 2)
    logits[299] = 1
    found = streamed(cut(logits, 1), 1, (1, 3, 3))
    assert found.dtype == np.uint16
    assert (found == 299).all()


def test_slabs_are_taken_one_at_a_time():
    logits = torch.randn(2, 6, 4, 4)
    taken = []

    def slabs():
        for number, slab in enumerate(cut(logits, 1)):
            taken.append(number)
            yield slab

    blocks = classes_on_grid(slabs(), 6, (12, 4, 4), None, 1)
    next(blocks)
    assert taken == [0]


def test_missing_slices_are_an_error():
    with pytest.raises(ValueError, match="end after 4 of 6"):
        streamed(cut(torch.randn(2, 4, 3, 3), 2), 6, (6, 3, 3))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_refused(bad):
    logits = torch.zeros(2, 2, 3, 3)
    logits[1, 1, 2, 2] = bad
    with pytest.raises(UsageError, match="not finite"):
        streamed([logits], 2, (2, 3, 3))
