"""The legend of axes. Every tensor and array of segttt is ordered (b, c, z, y, x).

b  samples of a batch          c  channels of an image or features of a network
k  classes, background first   z, y, x  the canonical axes, slowest first; a picture is one slice
n  tokens of a sequence        h  heads                d  width of one head

`*grid` stands for the spatial axes, (z, y, x) in 3D and (y, x) in 2D.
"""

from typing import Literal

import numpy as np
from jaxtyping import Float, Float32, Int
from torch import Tensor

Rank = Literal[2, 3]
Shape = tuple[int, ...]

Image = Float32[np.ndarray, "c z y x"]
Labels = Int[np.ndarray, "z y x"]
Images = Float[Tensor, "b c *grid"]
Logits = Float[Tensor, "b k *grid"]
