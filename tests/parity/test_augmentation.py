"""The augmentation draws what nnU-Net draws, and does the same with it."""

import numpy as np
import pytest
import torch

from segttt.config.network import Topology
from segttt.data.augment import intensity
from segttt.data.augment.recipe import draw
from segttt.data.augment.spatial import Turn, apply_turn, reach
from segttt.planning.planner import plan_augmentation

DRAWS, THEIRS, CHANNELS = 400, 20_000, 2
RARE = 2.35  # Kolmogorov's statistic; one of 27 samples is beyond once in a thousand times
ROUNDED = 2e-5  # the constants have five digits


@pytest.fixture(scope="module", params=[0, 1, 2], ids=["volume", "flat", "oblong picture"])
def theirs(golden, request):
    return golden["drawn"][request.param]


@pytest.fixture(scope="module")
def recipe(theirs):
    patch = tuple(theirs["patch"])
    one = (1,) * len(patch)
    stages = Topology(patch=patch, strides=(one, one), kernels=(one, one), features=(1, 1))
    return plan_augmentation(stages, None)


@pytest.fixture(scope="module")
def draws(theirs, recipe):
    rank, random = len(theirs["patch"]), np.random.default_rng(11)
    axes = tuple(theirs["mirror_axes"])
    return [
        draw(random, recipe, rank=rank, channels=CHANNELS, mirror_axes=axes) for _ in range(DRAWS)
    ]


def test_rotation_and_window_of_a_patch(theirs, recipe):
    assert recipe.rotation_deg == pytest.approx(theirs["degrees"])
    assert recipe.dummy_2d == theirs["flat"]
    assert list(reach(theirs["patch"], recipe)) == theirs["reach"]


def test_planned_probabilities(theirs, recipe):
    for name, share in theirs["shares"].items():
        error = (share * (1 - share) / THEIRS) ** 0.5
        assert getattr(recipe, name) == pytest.approx(share, abs=3.5 * error), name


def test_drawn_probabilities(theirs, draws):
    rank = len(theirs["patch"])
    ours = {
        "rotation": [bool(one.turn) and any(one.turn.angles_deg) for one in draws],
        "scaling": [bool(one.turn) and one.turn.scale != 1 for one in draws],
        "mirror": [axis in one.mirrored for one in draws for axis in range(rank)],
    } | {
        name: [getattr(one, name) is not None for one in draws]
        for name in ("noise", "blur", "brightness", "contrast", "low_resolution",
                     "gamma_inverted", "gamma")
    }  # fmt: skip
    assert set(ours) == set(theirs["shares"])
    for name, chosen in ours.items():
        share = theirs["shares"][name]
        error = (share * (1 - share) * (1 / DRAWS + 1 / THEIRS)) ** 0.5
        assert np.mean(chosen) == pytest.approx(share, abs=3.5 * error), name


def test_ranges(theirs, draws):
    turns = [one.turn for one in draws if one.turn]
    ours = {
        "angle": [a for turn in turns for a in turn.angles_deg if a],
        "scale": [turn.scale for turn in turns if turn.scale != 1],
        "noise": [one.noise[0] for one in draws if one.noise],
        "blur": [s for one in draws for some in one.blur or () for s in some],
        "low_resolution": [s for one in draws for s in one.low_resolution or () if s],
    } | {
        name: [v for one in draws for v in getattr(one, name) or ()]
        for name in ("brightness", "contrast", "gamma", "gamma_inverted")
    }
    assert set(ours) == set(theirs["quantiles"])
    for name, values in ours.items():
        quantiles = theirs["quantiles"][name]
        below = [np.mean(np.array(values) <= edge + ROUNDED) for edge in quantiles[1:-1]]
        apart = np.abs(below - np.linspace(0, 1, 21)[1:-1]).max()
        assert apart < RARE * (1 / len(values) + 1 / THEIRS) ** 0.5 + 1e-3, name
        span = quantiles[-1] - quantiles[0]
        assert min(values) > quantiles[0] - 0.01 * span, name
        assert max(values) < quantiles[-1] + 0.01 * span, name


def applied(golden, name):
    return np.array(golden["applied"][name])


@pytest.fixture
def sample(golden):
    return torch.tensor(golden["applied"]["image"])


@pytest.mark.parametrize("index", range(4))
def test_a_turn(golden, sample, index):
    given = golden["applied"]["turns"][index]
    label = torch.tensor(golden["applied"]["label"])
    # nnU-Net's angles are in radians and run the other way.
    turn = Turn(tuple(-float(np.degrees(angle)) for angle in given["angles"]), given["scale"])
    image, truth = apply_turn(sample, label, golden["applied"]["patch"], turn)
    np.testing.assert_allclose(image, applied(golden, f"turn {index}"), atol=ROUNDED)
    np.testing.assert_array_equal(truth, applied(golden, f"turned label {index}"))


@pytest.mark.parametrize("index", range(2))
def test_blur(golden, sample, index):
    blurred = intensity.blur(sample, golden["applied"]["sigmas"][index])
    np.testing.assert_allclose(blurred, applied(golden, f"blur {index}"), atol=ROUNDED)


def test_grey_values(golden, sample):
    factors, scales = golden["applied"]["factors"], golden["applied"]["scales"]
    ours = {
        "brightness": intensity.scale_brightness(sample, factors),
        "contrast": intensity.stretch_contrast(sample, factors),
        "gamma": intensity.gamma(sample, factors, inverted=False),
        "gamma_inverted": intensity.gamma(sample, factors, inverted=True),
        "low_resolution": intensity.lower_resolution(sample, scales, keep_first_axis=False),
    }
    for name, image in ours.items():
        np.testing.assert_allclose(image, applied(golden, name), atol=ROUNDED, err_msg=name)
