"""gelu in its tanh form, z (1 + tanh(RATE (z + CUBIC z³))) / 2, and two derivatives.

Source: arXiv 1606.08415. The vanishing 1 - tanh² comes before the growing powers of z everywhere,
so that large activations give 0, not 0 · ∞.
"""

from math import pi, sqrt

from jaxtyping import Float
from torch import Tensor, tanh

RATE = sqrt(2 / pi)
CUBIC = 0.044715


def gelu(z: Float[Tensor, "*shape"]) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """gelu(z) and gelu'(z)."""
    bent, bent_slope = _bent(z)
    half = 0.5 * (1 + bent)
    return z * half, half + 0.5 * z * bent_slope


def curvature(z: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """gelu''(z)."""
    bent, bent_slope = _bent(z)
    inner_slope = RATE * (1 + 3 * CUBIC * z**2)
    bent_curvature = (1 - bent**2) * 6 * RATE * CUBIC * z - 2 * bent * bent_slope * inner_slope
    return bent_slope + 0.5 * z * bent_curvature


def _bent(z: Tensor) -> tuple[Tensor, Tensor]:
    """The tanh in gelu(z), and its slope."""
    bent = tanh(RATE * (z + CUBIC * z**3))
    return bent, (1 - bent**2) * RATE * (1 + 3 * CUBIC * z**2)
