"""Windows in training and prediction are nnU-Net's."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from segttt.config.recipe import Recipe
from segttt.data.draws import generator
from segttt.data.sampler import Sampler
from segttt.engine.windows import gaussian, steps


def test_steps(golden):
    windows = golden["windows"]
    for (size, patch, step), theirs in zip(windows["axes"], windows["steps"], strict=True):
        assert steps(size, patch, 1 - step) == theirs


def test_gaussian_map(golden):
    theirs = np.array(golden["windows"]["map"])
    ours = gaussian(tuple(golden["windows"]["patch"]), torch.device("cpu")).numpy()
    # nnU-Net rounds its map to half precision: eleven bits.
    np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=2**-11)


def test_the_gaussian_is_not_cut_off():
    # A floor under it would let far windows outvote near ones along the border of a volume.
    weight = gaussian((16, 16, 16), torch.device("cpu"))
    assert weight[0, 0, 0].item() == pytest.approx(10 * np.exp(-24), rel=1e-4)


@dataclass(frozen=True)
class Corner:
    shape = (64, 64, 64)
    locations = {1: np.array([[63, 63, 63]], dtype=np.int32)}


@pytest.mark.parametrize("batch", [2, 3, 7, 12, 13, 30, 49])
def test_samples_forced_to_the_foreground(golden, batch):
    sampler = Sampler((9, 9, 9), (9, 9, 9), batch, Recipe().foreground_share)
    windows = sampler.windows(generator(0, 0, 0), [Corner()])
    # A window centred on the last voxel overhangs the volume as no other does.
    assert sum(one.start == (59, 59, 59) for one in windows) == golden["sampling"][str(batch)]
