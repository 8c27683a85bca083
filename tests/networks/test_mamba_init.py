"""The starts of a selective state-space layer."""

import math

import pytest
import torch
import torch.nn.functional as F

from segttt.networks.mamba_init import state_matrix_log, step_bias


def test_steps_are_spread_evenly_in_their_logarithm():
    torch.manual_seed(0)
    steps = F.softplus(step_bias((20, 1000)))
    assert steps.shape == (20, 1000)
    assert 0.999e-3 < steps.min() < 1.01e-3
    assert 0.99e-1 < steps.max() < 1.001e-1
    assert steps.log10().mean().item() == pytest.approx(-2, abs=0.02)
    assert steps.log10().std().item() == pytest.approx(2 / math.sqrt(12), rel=0.02)


def test_every_channel_has_the_states_one_to_n():
    torch.testing.assert_close(state_matrix_log((3, 4)).exp(), torch.tensor([[1.0, 2, 3, 4]] * 3))
