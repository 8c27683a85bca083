"""Stochastic depth: whole samples, the right share of them, and none in use."""

import pytest
import torch

from segttt.networks.baselines.drop_path import DropPath, drop_rates


def test_whole_samples_are_dropped_and_the_mean_stays():
    torch.manual_seed(0)
    x = torch.rand(4000, 2, 3) + 1
    out = DropPath(0.2)(x)
    kept = out[:, 0, 0] > 0
    torch.testing.assert_close(out, 1.25 * x * kept[:, None, None])
    assert kept.float().mean().item() == pytest.approx(0.8, abs=0.02)


def test_nothing_is_dropped_in_use_or_at_rate_zero():
    x = torch.randn(8, 3)
    assert torch.equal(DropPath(0.9).eval()(x), x)
    assert torch.equal(DropPath(0.0).train()(x), x)


def test_rates_run_along_a_straight_line_through_all_stages():
    rising, falling = drop_rates(0.0, 0.2, (2, 1, 2)), drop_rates(0.2, 0.0, (1, 4))
    assert [len(stage) for stage in rising] == [2, 1, 2]
    assert sum(rising, ()) == pytest.approx((0, 0.05, 0.1, 0.15, 0.2))
    assert [len(stage) for stage in falling] == [1, 4]
    assert sum(falling, ()) == pytest.approx((0.2, 0.15, 0.1, 0.05, 0))
    assert drop_rates(0.0, 0.2, (1,)) == ((0,),)
