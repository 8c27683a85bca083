"""Statistics, resampling, loss and learning rate are nnU-Net's."""

import numpy as np
import pytest
import torch

from segttt.config.recipe import Recipe
from segttt.engine.optimise import learning_rate
from segttt.geometry.resample import resample_image, resample_labels, separate_axis
from segttt.losses.dice import dice_and_cross_entropy
from segttt.planning.fingerprint import _channel

ROUNDED = 2e-5  # the constants have five digits
NAMES = ("mean", "median", "min", "max", "percentile_00_5", "percentile_99_5")


@pytest.fixture
def pieces(golden):
    return golden["pieces"]


def test_statistics_of_the_foreground(pieces):
    image, label = np.array(pieces["image"], np.float32), np.array(pieces["label"])
    values = image[label > 0]
    ours = _channel(values, np.ones(len(values)))
    for name in NAMES:
        assert getattr(ours, name) == pytest.approx(pieces["statistics"][name], abs=ROUNDED)


@pytest.mark.parametrize("index", range(3))
def test_resampled_image_and_labels(pieces, index):
    grid = pieces["resampling"][index]
    shape = tuple(grid["shape"])
    separate = separate_axis(tuple(grid["spacing"]), tuple(grid["new_spacing"]))
    assert (separate == 0) == (index == 1)
    image = torch.tensor(pieces["image"], dtype=torch.float32)[None]
    label = torch.tensor(pieces["label"], dtype=torch.int16)
    np.testing.assert_allclose(
        resample_image(image, shape, separate)[0], pieces[f"image {index}"], atol=ROUNDED
    )
    np.testing.assert_array_equal(resample_labels(label, shape, separate), pieces[f"label {index}"])


@pytest.mark.parametrize("over_batch", [False, True])
def test_cross_entropy_and_dice(pieces, over_batch):
    logits, target = torch.tensor(pieces["logits"]), torch.tensor(pieces["target"])
    ours = dice_and_cross_entropy(logits, target, over_batch=over_batch).item()
    assert ours == pytest.approx(pieces["losses"][str(over_batch)], abs=ROUNDED)


def test_learning_rate(pieces):
    ours = [learning_rate(Recipe(), epoch / pieces["last"]) for epoch in pieces["epochs"]]
    assert ours == pytest.approx(pieces["rates"], rel=1e-12)
