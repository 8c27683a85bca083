"""From the prepared store to batches: threads read, the training device augments."""

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from segttt.cases import Batch
from segttt.config.plan import Plan
from segttt.data.augment import recipe
from segttt.data.augment.spatial import needed, reach
from segttt.data.draws import TRAINING, VALIDATION, generator
from segttt.data.sampler import Sampler, Window
from segttt.io.store import StoredCase
from segttt.shapes import Shape3

READ_AHEAD = 3  # batches; enough to hide a slow read, little enough to hold in memory


@dataclass(frozen=True)
class RawSample:
    """A window as read, and what is to become of it."""

    image: Tensor
    labels: Tensor
    draw: recipe.Draw


class Loader:
    """Batches of one set of cases; batch `step` depends on (seed, stream, step) only."""

    def __init__(self, cases: Sequence[StoredCase], plan: Plan, *, seed: int, augmented: bool):
        self.cases = cases
        self.plan = plan
        self.seed = seed
        self.stream = TRAINING if augmented else VALIDATION
        self.augment = plan.augment if augmented else recipe.NONE
        self.patch = _as_3d(plan.topology.patch)
        wide = reach(plan.topology.patch, plan.augment) if augmented else plan.topology.patch
        self.sampler = Sampler(_as_3d(wide), self.patch, plan.batch, plan.train.foreground_share)

    def batches(self, steps: range, device: torch.device) -> Generator[Batch, None, None]:
        """The batches of `steps`, read ahead by one thread."""
        pending: deque[Future[list[RawSample]]] = deque()
        with ThreadPoolExecutor(1, thread_name_prefix="read") as reader:
            try:
                for step in steps:
                    pending.append(reader.submit(self.read, step, device))
                    if len(pending) > READ_AHEAD:
                        yield self.finish(pending.popleft().result(), device)
                while pending:
                    yield self.finish(pending.popleft().result(), device)
            finally:
                for waiting in pending:
                    waiting.cancel()

    def read(self, step: int, device: torch.device) -> list[RawSample]:
        """Draw and read the windows of one batch, in memory that a GPU copies from unattended."""
        random = generator(self.seed, self.stream, step)
        windows = self.sampler.windows(random, self.cases)
        return [self._read(window, self._draw(random), device) for window in windows]

    def _draw(self, random: np.random.Generator) -> recipe.Draw:
        return recipe.draw(
            random,
            self.augment,
            rank=self.plan.topology.rank,
            channels=len(self.plan.channels),
            mirror_axes=self.plan.mirror_axes,
        )

    def _read(self, window: Window, draw: recipe.Draw, device: torch.device) -> RawSample:
        planar = len(self.plan.topology.patch) == 2
        size = [b - a for a, b in zip(window.start, window.stop, strict=True)]
        inner = needed(size[planar:], self.patch[planar:], draw.turn)
        box = window.centred((*self.patch[:planar], *inner))
        case = self.cases[box.case]
        image, labels = case.image(box.start, box.stop), case.label(box.start, box.stop)
        return RawSample(_pinned(image, device), _pinned(labels, device), draw)

    def finish(self, samples: Sequence[RawSample], device: torch.device) -> Batch:
        """Move the windows of one batch to the device and augment them there."""
        patch = self.plan.topology.patch
        masked = [channel.masked for channel in self.plan.normalisation]
        images, labels = [], []
        for sample in samples:
            image = sample.image.to(device, non_blocking=True)
            truth = sample.labels.to(device, non_blocking=True)
            if len(patch) == 2:
                image, truth = image[:, 0], truth[0]
            image, truth = recipe.apply(
                image, truth, patch, sample.draw, dummy_2d=self.plan.augment.dummy_2d
            )
            image, truth = recipe.clear_outside(image, truth, masked)
            images.append(image)
            labels.append(truth)
        return Batch(torch.stack(images), torch.stack(labels).long())


def _pinned(array: np.ndarray, device: torch.device) -> Tensor:
    tensor = torch.from_numpy(array)
    return tensor.pin_memory() if device.type == "cuda" else tensor


def _as_3d(patch: Sequence[int]) -> Shape3:
    z, y, x = (1,) * (3 - len(patch)) + tuple(patch)
    return z, y, x
