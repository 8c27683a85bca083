from dataclasses import dataclass, field

import numpy as np
import pytest

from segttt.data.draws import generator
from segttt.data.sampler import Sampler, Window


@dataclass(frozen=True)
class Box:
    shape: tuple[int, int, int]
    locations: dict[int, np.ndarray] = field(default_factory=dict)


@pytest.mark.parametrize(("batch", "forced"), [(2, 1), (12, 4), (13, 4), (30, 10)])
def test_a_third_of_the_batch_is_on_foreground(batch, forced):
    here = np.array([[7, 8, 9]], dtype=np.int32)
    case = Box((64, 64, 64), {1: here})
    sampler = Sampler((5, 5, 5), (5, 5, 5), batch, 0.33)
    windows = sampler.windows(generator(0, 0, 0), [case])
    centres = [tuple((a + b) // 2 for a, b in zip(w.start, w.stop, strict=True)) for w in windows]
    assert all(centre == (7, 8, 9) for centre in centres[batch - forced :])
    assert sum(centre == (7, 8, 9) for centre in centres[: batch - forced]) <= 1


def test_free_windows_cover_the_volume_and_no_more():
    case = Box((20, 30, 40))
    sampler = Sampler((8, 8, 8), (8, 8, 8), 4, 0.0)
    starts = np.array(
        [w.start for step in range(800) for w in sampler.windows(generator(1, 0, step), [case])]
    )
    assert starts.min(0).tolist() == [0, 0, 0]
    assert starts.max(0).tolist() == [12, 22, 32]


def test_a_volume_smaller_than_the_patch_lies_inside_it():
    case = Box((5, 9, 4))
    sampler = Sampler((8, 8, 8), (8, 8, 8), 1, 0.0)
    for step in range(50):
        (window,) = sampler.windows(generator(2, 0, step), [case])
        assert window.start[0] <= 0
        assert window.stop[0] >= 5
        assert window.start[2] <= 0
        assert window.stop[2] >= 4


def test_the_reach_overhangs_by_half_its_margin():
    case = Box((20, 20, 20))
    sampler = Sampler((14, 14, 14), (8, 8, 8), 1, 0.0)
    starts = np.array(
        [sampler.windows(generator(3, 0, step), [case])[0].start for step in range(500)]
    )
    assert starts.min() == -3
    assert starts.max() == 9


def test_forced_windows_clamp_at_the_lower_bound_only():
    corner = {1: np.array([[0, 19, 19]], dtype=np.int32)}
    sampler = Sampler((8, 8, 8), (8, 8, 8), 1, 1.0)
    (window,) = sampler.windows(generator(0, 0, 0), [Box((20, 20, 20), corner)])
    assert window.start == (0, 15, 15)


def test_centred():
    inner = Window(3, (-2, 0, 4), (10, 9, 12)).centred((6, 5, 8))
    assert inner == Window(3, (1, 2, 4), (7, 7, 12))


def test_draws_depend_on_seed_stream_and_step_only():
    first = generator(5, 0, 7).random(4)
    assert np.array_equal(first, generator(5, 0, 7).random(4))
    others = [generator(6, 0, 7), generator(5, 1, 7), generator(5, 0, 8)]
    assert all(not np.array_equal(first, other.random(4)) for other in others)
