"""A GPU that runs out of memory at random windows; a network that fails as one does plays it."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from segttt.engine.predict import SlidingWindow
from tests.engine.conftest import small_plan
from tests.engine.test_effort import CPU, Hungry, prepared

TRIES = 20
WORDS = ("CUDA out of memory. Tried to allocate 20 MiB.", "cuDNN error: CUDNN_STATUS_ALLOC_FAILED")


class Failing(Hungry):
    """Fails once more, at one call whatever its size."""

    def __init__(self, most, error, at):
        super().__init__(most, error)
        self.at = at

    def forward(self, x):
        if len(self.seen) == self.at:
            self.at = None
            self.seen.append(len(x))
            raise self.error
        return super().forward(x)


@pytest.mark.reliability
def test_memory_of_a_gpu_many_times(table):
    chance, held = random.Random(), 0
    sound = SlidingWindow([Hungry(99, RuntimeError())], small_plan(), CPU)
    expected = sound.segment(prepared())
    for _ in range(TRIES):
        words, most, at = chance.choice(WORDS), chance.choice((2, 4, 8, 16)), chance.randrange(8)
        error = torch.OutOfMemoryError(words) if "CUDA" in words else RuntimeError(words)
        told: list[str] = []
        network = Failing(most, error, at)
        window = SlidingWindow([network], small_plan(), CPU, tell=told.append)
        window.effort = replace(window.effort, tiles=16)
        cases = [window.segment(prepared(f"case_{number}")) for number in range(2)]
        failed = sum(count > most for count in network.seen) + (network.at is None)
        held += all(np.array_equal(one, expected) for one in cases) and len(told) >= 1 <= failed
    table("E19", "a GPU out of memory: same result, and told", TRIES, held)
    assert held == TRIES
