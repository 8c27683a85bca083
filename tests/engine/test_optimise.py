import pytest
from torch import nn

from segttt.config.recipe import Recipe
from segttt.engine.optimise import learning_rate, make_optimizer
from segttt.engine.train import Clock


def test_poly_is_nnunets():
    recipe = Recipe()
    assert learning_rate(recipe, 0.0) == 1e-2
    assert learning_rate(recipe, 500 / 1000) == pytest.approx(1e-2 * 0.5**0.9)
    assert learning_rate(recipe, 1.0) == 0.0


def test_cosine_with_warmup():
    recipe = Recipe(lr=1e-3, schedule="cosine", warmup=0.1)
    assert learning_rate(recipe, 0.05) == pytest.approx(5e-4)
    assert learning_rate(recipe, 0.1) == pytest.approx(1e-3)
    assert learning_rate(recipe, 0.55) == pytest.approx(5e-4)


def test_a_time_limit_moves_the_clock():
    recipe = Recipe(epochs=10, iterations=10)
    assert Clock(recipe, limit_seconds=None).progress(25) == 0.25
    late = Clock(recipe, limit_seconds=100.0, spent_seconds=60.0)
    assert late.progress(25) == pytest.approx(0.6, abs=0.01)


def test_cosine_that_turns_and_ends_above_zero():
    """VM-UNet's schedule: three half waves of a hundred epochs each, never below 1e-5."""
    recipe = Recipe(lr=1e-3, schedule="cosine", cosine_turns=3, lr_end=1e-5)
    for epoch, expected in ((0, 1e-3), (50, 5.05e-4), (100, 1e-5), (200, 1e-3), (300, 1e-5)):
        assert learning_rate(recipe, epoch / 300) == pytest.approx(expected)


def test_eps_reaches_the_optimiser():
    parameters = nn.Linear(1, 1)
    for name in ("adam", "adamw"):
        optimizer = make_optimizer(parameters, Recipe(optimizer=name, eps=1e-7))
        assert optimizer.defaults["eps"] == 1e-7
