import numpy as np
import pytest
import torch
from torch import nn

from segttt.config.plan import Inference
from segttt.engine import compute as computing
from segttt.engine.predict import SlidingWindow
from tests.engine.conftest import small_plan


class Pointwise(nn.Module):
    """Logits that depend on a voxel alone, so that windows cannot matter."""

    def forward(self, x):
        return [torch.cat([-x, x, 2 * x - 1], 1)]


@pytest.mark.parametrize("shape", [(8, 16, 16), (21, 30, 17), (5, 40, 9)])
@pytest.mark.parametrize("mirror", [True, False])
def test_windows_add_up_to_the_whole(shape, mirror):
    plan = small_plan(predict=Inference(mirror=mirror))
    predictor = SlidingWindow([Pointwise()], plan, computing.choose("cpu", "fp32"))
    image = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    logits = torch.cat(list(predictor.slabs(image)), 1)
    expected = Pointwise()(torch.from_numpy(image)[None])[0][0]
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)


def test_networks_are_averaged():
    class Constant(nn.Module):
        def __init__(self, value):
            super().__init__()
            self.value = value

        def forward(self, x):
            return [torch.full((len(x), 3, *x.shape[2:]), self.value)]

    predictor = SlidingWindow(
        [Constant(1.0), Constant(4.0)], small_plan(), computing.choose("cpu", "fp32")
    )
    (slab,) = predictor.slabs(np.zeros((1, 8, 16, 16), dtype=np.float32))
    torch.testing.assert_close(slab, torch.full_like(slab, 2.5))


@pytest.mark.parametrize("average", ["logits", "probabilities"])
def test_what_is_averaged_over_models_and_mirrored_copies(average):
    class Towards(nn.Module):
        """Sure of one class where x grows to the right, so mirrored copies disagree."""

        def __init__(self, scale):
            super().__init__()
            self.scale = scale

        def forward(self, x):
            ramp = self.scale * torch.linspace(0, 1, x.shape[-1]).expand_as(x)
            return [torch.cat([x + ramp, x, x - 1], 1)]

    plan = small_plan(predict=Inference(average=average, overlap=0.0))
    networks = [Towards(3.0), Towards(-1.0)]
    predictor = SlidingWindow(networks, plan, computing.choose("cpu", "fp32"))
    image = np.random.default_rng(0).normal(size=(1, 8, 16, 16)).astype(np.float32)
    (found,) = predictor.slabs(image)
    x = torch.from_numpy(image)[None]
    copies = [n(x.flip(axes) if axes else x)[0] for n in networks for axes in ((), (4,))]
    if average == "probabilities":
        copies = [one.softmax(1) for one in copies]
    copies = [one.flip(4) if i % 2 else one for i, one in enumerate(copies)]
    torch.testing.assert_close(found, torch.stack(copies).mean(0)[0])


def test_windows_are_counted():
    predictor = SlidingWindow([Pointwise()], small_plan(), computing.choose("cpu", "fp32"))
    told = []
    predictor.progress = lambda done, total: told.append((done, total))
    list(predictor.slabs(np.zeros((1, 8, 24, 24), dtype=np.float32)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
