import pytest

from segttt.config.recipe import Recipe
from segttt.engine.optimise import learning_rate
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
