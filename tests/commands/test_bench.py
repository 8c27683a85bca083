"""Tests of what bounds an epoch."""

import pytest

from segttt.commands.bench import Phases
from segttt.config.recipe import Recipe


def test_a_step_waits_for_its_largest_part() -> None:
    phases = Phases(read=0.2, augment=0.1, forward=0.3, backward=0.5, validate=0.25)
    assert phases.bound() == "backward"
    assert phases.step == pytest.approx(0.9)
    recipe = Recipe(iterations=10, val_iterations=4)
    assert phases.epoch(recipe) == pytest.approx(10 * 0.9 + 4 * 0.25)


def test_reading_counts_only_where_it_cannot_be_hidden() -> None:
    phases = Phases(read=2.0, augment=0.1, forward=0.3, backward=0.5, validate=0.25)
    assert phases.bound() == "read"
    assert phases.epoch(Recipe(iterations=10, val_iterations=4)) == pytest.approx(28.0)
