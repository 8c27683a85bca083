"""Random numbers as a function of (seed, stream, step), so that a run resumes by its step alone."""

import numpy as np

TRAINING, VALIDATION, NETWORK = 0, 1, 2


def generator(seed: int, stream: int, step: int) -> np.random.Generator:
    """An independent generator for one step of one stream (Philox, counter based)."""
    return np.random.Generator(np.random.Philox(key=[seed, stream], counter=[0, 0, 0, step]))
