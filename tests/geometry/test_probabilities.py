"""Probabilities on another grid against the naive full computation."""

import numpy as np
import pytest
import torch

from segttt.geometry import probabilities
from segttt.geometry.argmax import classes_on_grid
from segttt.geometry.probabilities import probabilities_on_grid
from segttt.geometry.resample import axis_orders, resample

LOGITS = 3 * torch.randn(4, 13, 15, 17, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("voxels", [1, 2**20])
@pytest.mark.parametrize(
    ("shape", "separate"), [((31, 20, 9), None), ((13, 15, 17), None), ((30, 22, 24), 0)]
)
def test_equals_the_naive_computation(monkeypatch, shape, separate, voxels):
    monkeypatch.setattr(probabilities, "BLOCK_VOXELS", voxels)
    found = list(probabilities_on_grid(LOGITS.split(3, 1), 13, shape, separate, logits=True))
    expected = resample(LOGITS, shape, axis_orders(1, separate)).softmax(0)
    shares = np.concatenate([block.probabilities for block in found], 1)
    np.testing.assert_allclose(shares, expected.numpy(), atol=1e-5)
    entropy = -(expected * expected.log()).sum(0) / np.log(4)
    np.testing.assert_allclose(
        np.concatenate([block.entropy for block in found]), entropy.numpy(), atol=1e-4
    )
    classes = np.concatenate([block.classes for block in found])
    same = np.concatenate(list(classes_on_grid(LOGITS.split(3, 1), 13, shape, separate, 2**20)))
    np.testing.assert_array_equal(classes, same)


def test_probabilities_stay_as_they_are():
    shares = LOGITS.softmax(0)
    (block,) = probabilities_on_grid([shares], 13, (13, 15, 17), None, logits=False)
    np.testing.assert_allclose(block.probabilities, shares.numpy(), atol=1e-6)


def test_entropy_is_zero_where_one_class_is_certain_and_one_where_none_is():
    logits = torch.zeros(3, 1, 1, 2)
    logits[1, 0, 0, 0] = 1000
    (block,) = probabilities_on_grid([logits], 1, (1, 1, 2), None, logits=True)
    np.testing.assert_allclose(block.entropy[0, 0], [0, 1], atol=1e-6)
