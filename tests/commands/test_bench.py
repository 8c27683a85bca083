"""Tests of what bounds an epoch."""

from dataclasses import replace

import pytest

from segttt.commands.bench import Phases
from segttt.config.recipe import Recipe

PHASES = Phases(read=0.2, augment=0.1, forward=0.3, backward=0.5, validate=0.25, step=0.8)


def test_an_epoch_has_steps_as_a_training_runs_them() -> None:
    assert PHASES.bound() == "backward"
    assert PHASES.epoch(Recipe(iterations=10, val_iterations=4)) == pytest.approx(9.0)


def test_reading_counts_only_where_it_cannot_be_hidden() -> None:
    slow = replace(PHASES, read=2.0, step=2.1)
    assert slow.bound() == "read"
    assert slow.epoch(Recipe(iterations=10, val_iterations=4)) == pytest.approx(29.0)
