"""Random inputs of the causal convolution."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor


def draw(
    n: int, d: int = 5, reach: int = 4, g: int = 2, k: int | None = None, b: int = 2
) -> list[Tensor]:
    """x, weight and bias in float64; k sequences for g scans, g unless told."""
    rng = torch.Generator().manual_seed(1000 * n + 10 * d + reach)
    shapes = ((b, g if k is None else k, n, d), (g, d, reach), (g, d))
    return [torch.randn(shape, generator=rng, dtype=torch.float64) for shape in shapes]


@pytest.fixture(name="draw")
def _draw() -> Callable[..., list[Tensor]]:
    return draw
