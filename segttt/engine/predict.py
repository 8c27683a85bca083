"""Sliding-window prediction of one prepared case, slab by slab."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from segttt.cases import PreparedCase
from segttt.config.plan import Plan
from segttt.engine.compute import Compute
from segttt.engine.memory import Size, blend_dtype
from segttt.engine.mirrors import mirrored_mean
from segttt.engine.windows import RollingBlend, corners, gaussian
from segttt.preprocessing.pipeline import restore


class SlidingWindow:
    """One or more trained networks of the same plan, ready to segment."""

    def __init__(
        self,
        networks: Sequence[nn.Module],
        plan: Plan,
        compute: Compute,
        *,
        max_ram: int | None = None,
    ):
        self.networks = [compute.place(network).eval() for network in networks]
        self.plan = plan
        self.compute = compute
        self.max_ram = max_ram
        """Bytes of resident memory that must not be exceeded; None: what there is."""
        self.patch = (1,) * (3 - plan.topology.rank) + plan.topology.patch

    def segment(self, prepared: PreparedCase) -> np.ndarray:
        """Classes [z, y, x] on the canonical grid that the case came from.

        A `ResourceError` tells where that cannot be done within `max_ram`.
        """
        there = prepared.preparation
        size = Size(len(prepared.image), there.shape, there.new_shape)
        dtype = blend_dtype(size, self.plan, self.compute.device, self.max_ram)
        return restore(self.slabs(prepared.image, dtype), there)

    @torch.inference_mode()
    def slabs(
        self, image: Float[np.ndarray, "c z y x"], dtype: torch.dtype = torch.float32
    ) -> Iterator[Float[Tensor, "k slab y x"]]:
        """Blended logits, or probabilities, of consecutive slabs along the first axis.

        Only the slices that windows still overlap are held, so memory does not grow with the
        length of the volume.
        """
        image, margin = _padded(image, self.patch)
        shape = image.shape[1:]
        weight = gaussian(self.patch, self.compute.device)
        blend = RollingBlend(
            self.plan.classes, self.patch[0], shape[1:], self.compute.device, dtype
        )
        done = 0
        places = corners(shape, self.patch, self.plan.predict.overlap)
        rows = [list(group) for _, group in groupby(places, key=lambda corner: corner[0])]
        ends = [row[0][0] for row in rows[1:]] + [shape[0]]
        for row, end in zip(rows, ends, strict=True):
            for corner in row:
                blend.add(self._window(image, corner), weight, corner)
            for piece in blend.release(end):
                done += piece.shape[1]
                yield _trimmed(piece, done, margin, shape)

    def _window(self, image: np.ndarray, corner: Sequence[int]) -> Float[Tensor, "k z y x"]:
        box = tuple(slice(a, a + n) for a, n in zip(corner, self.patch, strict=True))
        window = torch.from_numpy(np.ascontiguousarray(image[:, *box]))[None]
        flat = self.plan.topology.rank == 2
        images = self.compute.arrange((window[:, :, 0] if flat else window).to(self.compute.device))
        axes = self.plan.mirror_axes if self.plan.predict.mirror else ()
        logits = mirrored_mean(self._ensemble, images, axes)[0]
        return logits[:, None] if flat else logits

    def _ensemble(self, images: Tensor) -> Tensor:
        """Mean of the networks' logits, or of their probabilities where the plan averages these."""
        with self.compute.forward():
            outputs = [cast("list[Tensor]", network(images))[0] for network in self.networks]
        exact = [logits.float() for logits in outputs]
        if self.plan.predict.average == "probabilities":
            exact = [logits.softmax(1) for logits in exact]
        return torch.stack(exact).mean(0)


Margin = list[tuple[int, int]]


def _padded(image: np.ndarray, patch: Sequence[int]) -> tuple[np.ndarray, Margin]:
    """The image with zeros around it where it is smaller than the patch."""
    missing = [max(0, edge - size) for edge, size in zip(patch, image.shape[1:], strict=True)]
    margin = [(n // 2, n - n // 2) for n in missing]
    return (np.pad(image, [(0, 0), *margin]) if any(missing) else image), margin


def _trimmed(
    slab: Float[Tensor, "k z y x"], end: int, margin: Margin, shape: Sequence[int]
) -> Float[Tensor, "k _ _ _"]:
    """The slab without the padding; `end` is its last slice plus one in the padded volume."""
    begin = end - slab.shape[1]
    first = max(begin, margin[0][0]) - begin
    last = min(end, shape[0] - margin[0][1]) - begin
    (_, (top, bottom), (left, right)) = margin
    return slab[:, first:last, top : shape[1] - bottom, left : shape[2] - right]
