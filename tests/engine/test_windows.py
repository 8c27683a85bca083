from itertools import pairwise, product

import pytest
import torch

from segttt.engine.mirrors import flips, mirrored_mean
from segttt.engine.windows import RollingBlend, corners, gaussian, steps


@pytest.mark.parametrize(
    ("size", "patch", "expected"),
    [
        (110, 110, [0]),
        (90, 110, [0]),
        (224, 192, [0, 32]),
        (256, 64, [0, 32, 64, 96, 128, 160, 192]),
    ],
)
def test_steps_are_nnunets(size, patch, expected):
    assert steps(size, patch, 0.5) == expected


def test_the_last_window_ends_at_the_border():
    for size, patch, overlap in product((33, 64, 99), (16, 20), (0.0, 0.25, 0.5, 0.75)):
        starts = steps(size, patch, overlap)
        assert starts[-1] + patch == size
        assert all(b - a <= patch for a, b in pairwise(starts))


def test_gaussian_peaks_in_the_middle_and_is_positive():
    weight = gaussian((8, 16, 1), torch.device("cpu"))
    assert weight[4, 8, 0] == weight.max() == 10.0
    assert weight.min() > 0


@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.5])
@pytest.mark.parametrize("shape", [(8, 8, 8), (21, 17, 30), (9, 40, 8)])
def test_blending_a_constant_gives_the_constant(shape, overlap):
    patch = (8, 8, 8)
    blend = RollingBlend(2, patch[0], shape[1:], torch.device("cpu"))
    weight = gaussian(patch, torch.device("cpu"))
    places = corners(shape, patch, overlap)
    slabs, starts = [], sorted({place[0] for place in places})
    for start, end in zip(starts, [*starts[1:], shape[0]], strict=True):
        for place in places:
            if place[0] == start:
                blend.add(torch.full((2, *patch), 3.5), weight, place)
        slabs += list(blend.release(end))
    whole = torch.cat(slabs, 1)
    assert whole.shape == (2, *shape)
    torch.testing.assert_close(whole, torch.full_like(whole, 3.5))


def test_rolling_equals_holding_everything():
    shape, patch = (19, 12, 12), (8, 8, 8)
    random = torch.Generator().manual_seed(0)
    places = corners(shape, patch, 0.5)
    windows = {place: torch.randn(3, *patch, generator=random) for place in places}
    weight = gaussian(patch, torch.device("cpu"))
    total, weights = torch.zeros(3, *shape), torch.zeros(shape)
    for place, logits in windows.items():
        here = tuple(slice(c, c + n) for c, n in zip(place, patch, strict=True))
        total[:, *here] += logits * weight
        weights[here] += weight
    blend = RollingBlend(3, patch[0], shape[1:], torch.device("cpu"))
    starts = sorted({place[0] for place in places})
    slabs = []
    for start, end in zip(starts, [*starts[1:], shape[0]], strict=True):
        for place in places:
            if place[0] == start:
                blend.add(windows[place], weight, place)
        slabs += list(blend.release(end))
    torch.testing.assert_close(torch.cat(slabs, 1), total / weights)


def test_eight_flips_and_their_mean():
    assert len(flips((0, 1, 2))) == 8
    image = torch.randn(1, 1, 4, 5, 6, generator=torch.Generator().manual_seed(1))

    def first_half(x):  # not symmetric: sees the first half of z only
        out = torch.zeros_like(x)
        out[:, :, :2] = x[:, :, :2]
        return out

    mean = mirrored_mean(first_half, image, (0, 1, 2))
    torch.testing.assert_close(mean, image / 2)
