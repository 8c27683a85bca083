"""Random inputs of the selective scan."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor


def draw(
    n: int, d: int = 5, s: int = 3, b: int = 2, g: int = 2, dtype: torch.dtype = torch.float64
) -> list[Tensor]:
    """u, dt, A, B, C, D and dt_bias: all of them rough, A between -4 and -0.1."""
    rng = torch.Generator().manual_seed(1000 * n + 10 * d + s)
    normal = lambda *shape: torch.randn(*shape, generator=rng, dtype=torch.float64)  # noqa: E731
    values = [normal(b, g, n, d), normal(b, g, n, d) - 1]
    values += [-normal(g, d, s).exp().clamp(0.1, 4)]
    values += [normal(b, g, n, s), normal(b, g, n, s), normal(g, d), 0.5 * normal(g, d)]
    return [value.to(dtype).requires_grad_() for value in values]


@pytest.fixture(name="draw")
def _draw() -> Callable[..., list[Tensor]]:
    return draw
