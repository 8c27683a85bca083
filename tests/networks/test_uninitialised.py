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


def test_what_memory_held_before_keeps_no_initialiser_busy() -> None:
    weight = torch.full((8,), float("inf"))
    with Uninitialised():
        nn.init.trunc_normal_(weight, std=0.02)
        nn.init.trunc_normal_(torch.full((8,), 7.0), mean=3.0, std=0.1, a=2.9, b=3.1)
    assert weight.isfinite().all()


def test_outside_draws_are_as_ever() -> None:
    with Uninitialised():
        pass
    assert torch.zeros(8).normal_().std() > 0
