"""Tests of networks without drawn weights."""

import torch
from torch import nn

from segttt.networks.uninitialised import Uninitialised


def test_nothing_is_drawn_inside() -> None:
    before = torch.random.get_rng_state()
    with Uninitialised():
        weight = torch.zeros(4).normal_()
        nn.Conv3d(2, 2, 3)
        nn.init.trunc_normal_(torch.empty(3))
    assert torch.equal(weight, torch.zeros(4))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_outside_draws_are_as_ever() -> None:
    with Uninitialised():
        pass
    assert torch.zeros(8).normal_().std() > 0
