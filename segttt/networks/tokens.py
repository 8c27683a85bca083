"""A feature map as a sequence of tokens, and back."""

from jaxtyping import Float
from torch import Tensor

from segttt.networks.layout import TokenAxis


def to_tokens(x: Float[Tensor, "b c *grid"], order: TokenAxis) -> Float[Tensor, "b n width"]:
    """raster: the voxels are the tokens, last axis fastest; channels: the channels are."""
    flat = x.flatten(2)
    return flat.transpose(1, 2) if order == "raster" else flat


def to_volume(
    tokens: Float[Tensor, "b n width"], grid: tuple[int, ...], order: TokenAxis
) -> Float[Tensor, "b c *grid"]:
    """The inverse of `to_tokens` for a feature map of edge lengths `grid`."""
    flat = tokens.transpose(1, 2) if order == "raster" else tokens
    return flat.unflatten(2, grid)
