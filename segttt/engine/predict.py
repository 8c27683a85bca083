"""Sliding-window prediction of one prepared case, slab by slab."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from segttt.cases import PreparedCase, SoftMaps
from segttt.config.plan import Plan
from segttt.engine.compute import Compute
from segttt.engine.effort import Effort, full_effort
from segttt.engine.memory import Size, blend_dtype
from segttt.engine.mirrors import mirrored_mean
from segttt.engine.windows import RollingBlend, corners, gaussian
from segttt.errors import CaseMemoryError, ran_out_of_memory
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
        tell: Callable[[str], None] | None = None,
    ):
        self.networks = [compute.place(network).eval() for network in networks]
        self.plan = plan
        self.effort = full_effort(compute, plan)
        self.max_ram = max_ram
        """Bytes of resident memory that must not be exceeded; None: what there is."""
        self.tell = tell
        """Receives a sentence where a GPU's memory did not suffice."""
        self.progress: Callable[[int, int], None] | None = None
        """Is called with the number of windows that are done and of all of the case."""
        self.patch = (1,) * (3 - plan.topology.rank) + plan.topology.patch

    def segment(self, prepared: PreparedCase, maps: SoftMaps | None = None) -> np.ndarray:
        """Classes [z, y, x] on the canonical grid that the case came from.

        `maps` are filled where they are given. Where a GPU runs out of memory the case is done
        again with less at once, at last on the CPU; a `CaseMemoryError` tells where even that, or
        `max_ram`, does not suffice.
        """
        effort = self.effort
        while True:
            try:
                return self._segment(prepared, maps, effort)
            except (RuntimeError, MemoryError) as error:
                if not ran_out_of_memory(error):
                    raise
                reason = str(error).partition("\n")[0]
            # Outside the handler, whose traceback would keep the windows alive.
            effort = self._less(effort, prepared.id, reason)

    def _less(self, effort: Effort, case: str, reason: str) -> Effort:
        less = effort.less()
        if less is None:
            raise CaseMemoryError(
                f"{case}: there is not enough memory for it ({reason}). Allow more, crop the scan, "
                "or let the sums be smaller by --max-ram."
            )
        if less.tiles < effort.tiles:
            self.effort = less  # the next cases have windows of the same size
        if self.tell:
            self.tell(f"{case}: the GPU ran out of memory; again with {less}.")
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return less

    def _segment(self, prepared: PreparedCase, maps: SoftMaps | None, effort: Effort) -> np.ndarray:
        there = prepared.preparation
        size = Size(len(prepared.image), there.shape, there.new_shape, maps is not None)
        dtype = blend_dtype(size, self.plan, effort.sums, self.max_ram)
        slabs = self.slabs(prepared.image, dtype, effort)
        return restore(slabs, there, maps=maps, logits=self.plan.predict.average == "logits")

    def slabs(
        self,
        image: Float[np.ndarray, "c z y x"],
        dtype: torch.dtype = torch.float32,
        effort: Effort | None = None,
    ) -> Iterator[Float[Tensor, "k slab y x"]]:
        """Blended logits, or probabilities, of consecutive slabs along the first axis.

        Only the slices that windows still overlap are held, so memory does not grow with the
        length of the volume.
        """
        effort = effort or self.effort
        for network in self.networks:
            effort.compute.place(network)
        image, margin = _padded(image, self.patch)
        shape = image.shape[1:]
        weight = gaussian(self.patch, effort.sums)
        blend = RollingBlend(self.plan.classes, self.patch[0], shape[1:], effort.sums, dtype)
        done = made = 0
        places = corners(shape, self.patch, self.plan.predict.overlap)
        rows = [list(group) for _, group in groupby(places, key=lambda corner: corner[0])]
        ends = [row[0][0] for row in rows[1:]] + [shape[0]]
        for row, end in zip(rows, ends, strict=True):
            # One copy to a GPU for all the windows of a row, which overlap.
            slab = torch.from_numpy(image[:, row[0][0] : row[0][0] + self.patch[0]])
            slab = slab.to(effort.compute.device)
            for first in range(0, len(row), effort.tiles):
                tiles = row[first : first + effort.tiles]
                for corner, logits in zip(tiles, self._windows(slab, tiles, effort), strict=True):
                    blend.add(logits.to(effort.sums), weight, corner)
                made += len(tiles)
                if self.progress:
                    self.progress(made, len(places))
            for piece in blend.release(end):
                done += piece.shape[1]
                yield _trimmed(piece, done, margin, shape)

    @torch.inference_mode()
    def _windows(
        self, slab: Float[Tensor, "c _ _ _"], places: Sequence[Sequence[int]], effort: Effort
    ) -> Float[Tensor, "n k z y x"]:
        """Logits of the windows at `places`; the slab is as thick as a window."""
        _, height, width = self.patch
        windows = torch.stack([slab[..., y : y + height, x : x + width] for _, y, x in places])
        flat = self.plan.topology.rank == 2
        compute = effort.compute
        images = compute.arrange(windows[:, :, 0] if flat else windows)
        axes = self.plan.mirror_axes if self.plan.predict.mirror else ()
        logits = mirrored_mean(lambda copies: self._ensemble(copies, compute), images, axes)
        return logits[:, :, None] if flat else logits

    def _ensemble(self, images: Tensor, compute: Compute) -> Tensor:
        """Mean of the networks' logits, or of their probabilities where the plan averages these."""
        with compute.forward():
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
