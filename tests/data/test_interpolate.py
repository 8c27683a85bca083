"""Tests of interpolation between voxels, against PyTorch's sampler and the argmax of indicators."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from segttt.config.recipe import Augmentation
from segttt.data.augment.interpolate import (
    OUTSIDE,
    Places,
    _of_all,
    _of_mixed,
    image_at,
    labels_at,
)
from segttt.data.augment.spatial import apply_turn, draw_turn, needed

GRIDS = [(9, 14), (7, 11, 10)]


def coordinates(grid: tuple[int, ...], *, seed: int) -> list[Tensor]:
    """Places in and around the grid, some of them far outside."""
    random = torch.Generator().manual_seed(seed)
    size = (6,) * len(grid)
    return [torch.rand(size, generator=random) * (n + 8) - 4 for n in grid]


def sampled(planes: Tensor, places: list[Tensor]) -> Tensor:
    grid = planes.shape[1:]
    faces = [(at + 0.5) * (2 / n) - 1 for at, n in zip(places, grid, strict=True)]
    return F.grid_sample(planes[None], torch.stack(faces[::-1], -1)[None], align_corners=False)[0]


@pytest.mark.parametrize("grid", GRIDS)
def test_images_as_pytorch_samples_them(grid: tuple[int, ...]) -> None:
    planes = torch.randn(2, *grid, generator=torch.Generator().manual_seed(0))
    at = coordinates(grid, seed=1)
    found = image_at(planes, Places.of(at, grid))
    torch.testing.assert_close(found, sampled(planes, at), atol=1e-5, rtol=0)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("classes", [2, 5])
def test_labels_are_the_largest_indicator(grid: tuple[int, ...], classes: int) -> None:
    random = torch.Generator().manual_seed(2)
    labels = torch.randint(-1, classes, grid, generator=random, dtype=torch.int16)
    at = coordinates(grid, seed=3)
    indicators = torch.stack([(labels == one).float() for one in range(classes)])
    shares = sampled(indicators, at)
    every = torch.cat([1 - shares.sum(0, keepdim=True), shares])
    first, second = every.topk(2, dim=0).values
    clear = first - second > 1e-5
    found = labels_at(labels[None], Places.of(at, grid))[0]
    assert clear.float().mean() > 0.9
    assert torch.equal(found[clear].long(), every.argmax(0)[clear] + OUTSIDE)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("classes", [1, 2, 9])
def test_a_gpu_works_out_all_places_to_the_same_labels(grid: tuple[int, ...], classes: int) -> None:
    random = torch.Generator().manual_seed(5)
    labels = torch.randint(-1, classes, (3, *grid), generator=random, dtype=torch.int16)
    at = [place.round(decimals=1) for place in coordinates(grid, seed=6)]  # with equal shares
    places = Places.of(at, tuple(n + 4 for n in grid))
    edged = F.pad(labels, (4, 4) * len(grid), value=OUTSIDE)
    assert torch.equal(_of_all(edged, places), _of_mixed(edged, places))


def test_of_equal_shares_the_lower_label_wins() -> None:
    labels = torch.tensor([[3, 1]], dtype=torch.int16)[None]
    places = Places.of([torch.tensor([[0.0]]), torch.tensor([[0.5]])], (1, 2))
    assert labels_at(labels, places).item() == 1


@pytest.mark.parametrize("rank", [2, 3])
def test_the_needed_part_of_a_window_gives_the_same_patch(rank: int) -> None:
    patch, window = (10, 12, 9)[:rank], (21, 24, 20)[:rank]
    random = np.random.default_rng(4)
    image = torch.from_numpy(random.normal(size=(1, *window)).astype(np.float32))
    labels = torch.from_numpy(random.integers(0, 3, window).astype(np.int16))
    smaller = 0
    for _ in range(20):
        turn = draw_turn(random, Augmentation(rotation=1, scaling=1), rank)
        assert turn is not None
        size = needed(window, patch, turn)
        inner = tuple(slice((a - n) // 2, (a + n) // 2) for a, n in zip(window, size, strict=True))
        assert all((a - n) % 2 == 0 for a, n in zip(window, size, strict=True))
        smaller += size != window
        whole = apply_turn(image, labels, patch, turn)
        part = apply_turn(image[:, *inner], labels[inner], patch, turn)
        torch.testing.assert_close(part[0], whole[0], atol=1e-5, rtol=0)
        assert (part[1] == whole[1]).float().mean() > 0.999
    assert smaller > 10
