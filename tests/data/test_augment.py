import numpy as np
import pytest
import torch
from scipy import ndimage

from segttt.config.recipe import Augmentation
from segttt.data.augment import intensity
from segttt.data.augment.recipe import NONE, Draw, apply, clear_outside, draw
from segttt.data.augment.spatial import Turn, apply_turn, mirror, reach

STILL = Draw(None, None, None, None, None, None, None, None, ())


def sample(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_nothing_drawn_changes_nothing():
    image, labels = sample(2, 6, 7, 8), torch.randint(0, 3, (6, 7, 8))
    same, truth = apply(image, labels, (6, 7, 8), STILL)
    assert torch.equal(same, image)
    assert torch.equal(truth, labels)
    random = np.random.default_rng(0)
    assert draw(random, NONE, rank=3, channels=2, mirror_axes=(0, 1, 2)) == STILL


def test_probabilities_are_the_recipes():
    recipe, random = Augmentation(), np.random.default_rng(0)
    draws = [draw(random, recipe, rank=3, channels=1, mirror_axes=(0, 1, 2)) for _ in range(4000)]

    def share(test):
        return sum(test(one) for one in draws) / len(draws)

    margin = 0.025  # four standard errors of a share at 4000 draws, and a little
    assert share(lambda d: d.turn is not None) == pytest.approx(1 - 0.8 * 0.8, abs=margin)
    assert share(lambda d: d.noise is not None) == pytest.approx(0.1, abs=margin)
    assert share(lambda d: d.blur is not None) == pytest.approx(0.2, abs=margin)
    assert share(lambda d: d.brightness is not None) == pytest.approx(0.15, abs=margin)
    assert share(lambda d: d.low_resolution is not None) == pytest.approx(0.25, abs=margin)
    assert share(lambda d: d.gamma is not None) == pytest.approx(0.3, abs=margin)
    assert share(lambda d: 1 in d.mirrored) == pytest.approx(0.5, abs=margin)
    factors = [d.contrast[0] for d in draws if d.contrast]
    assert 0.75 <= min(factors) < 0.8
    assert 1.2 < max(factors) <= 1.25
    scales = [d.turn.scale for d in draws if d.turn and d.turn.scale != 1]
    assert min(scales) >= 0.7
    assert max(scales) <= 1.4


def test_a_quarter_turn_moves_voxels_exactly():
    image = torch.zeros(1, 1, 9, 9)
    image[0, 0, 4, 7] = 1.0
    labels = image[0].long()
    turned, truth = apply_turn(image, labels, (1, 9, 9), Turn((90.0, 0.0, 0.0), 1.0))
    where = turned[0].flatten().argmax().item()
    assert where in (1 * 9 + 4, 7 * 9 + 4)
    assert truth.flatten().argmax().item() == where
    assert turned.max().item() == pytest.approx(1.0, abs=1e-4)


def test_image_and_labels_turn_together_about_each_axis():
    ball = torch.zeros(24, 24, 24)
    ball[4:12, 6:20, 8:14] = 1.0
    for angles in [(30.0, 0.0, 0.0), (0.0, -25.0, 0.0), (0.0, 0.0, 40.0), (10.0, 20.0, -30.0)]:
        image, labels = apply_turn(ball[None], ball.long(), (16, 16, 16), Turn(angles, 1.2))
        assert ((image[0] > 0.5) == (labels == 1)).float().mean() > 0.995


def test_scale_above_one_makes_objects_smaller():
    ball = torch.zeros(40, 40)
    ball[10:30, 10:30] = 1.0
    _, small = apply_turn(ball[None], ball.long(), (28, 28), Turn((0.0,), 1.4))
    assert (small == 1).sum().item() == pytest.approx(400 / 1.4**2, rel=0.1)


def test_what_comes_from_outside_the_window_is_marked():
    image, labels = torch.ones(1, 8, 8), torch.ones(8, 8, dtype=torch.long)
    turned, truth = apply_turn(image, labels, (8, 8), Turn((45.0,), 1.0))
    assert truth[0, 0] == -1
    assert turned[0, 0, 0] == 0
    cleared, classes = clear_outside(turned, truth, [True])
    assert classes.min() == 0
    assert cleared[0, 0, 0] == 0


def test_dummy_2d_turns_every_slice_alike():
    image = sample(1, 3, 20, 20)
    labels = torch.zeros(3, 20, 20, dtype=torch.long)
    whole, _ = apply_turn(image, labels, (3, 12, 12), Turn((33.0,), 0.9))
    for z in range(3):
        plane, _ = apply_turn(image[:, z], labels[z], (12, 12), Turn((33.0,), 0.9))
        torch.testing.assert_close(whole[:, z], plane)


def test_reach_of_known_patches():
    isotropic = Augmentation(rotation_deg=30)
    assert reach((40, 56, 40), isotropic) == (73, 80, 64)  # nnU-Net 2.8.1 for this patch
    flat = Augmentation(rotation_deg=180, dummy_2d=True)
    assert reach((40, 224, 192), flat) == (40, 263, 263)  # turned by 90, /0.85; z kept


@pytest.mark.parametrize(("sigma", "radius"), [(0.5, 1), (0.6, 2), (0.9, 2), (1.0, 3)])
def test_blur_equals_scipy(sigma, radius):
    image = sample(1, 12, 13, 14)
    expected = ndimage.gaussian_filter(image[0].numpy(), sigma, mode="mirror", radius=radius)
    ours = intensity.blur(image, [(sigma,) * 3])[0]
    torch.testing.assert_close(ours, torch.from_numpy(expected), atol=1e-5, rtol=0)


def test_blur_of_an_axis_shorter_than_its_kernel():
    image = sample(1, 2, 9)
    blurred = intensity.blur(image, [(1.0, 0.5)])
    assert blurred.std() < image.std()
    constant = torch.full((1, 2, 9), 4.0)
    torch.testing.assert_close(intensity.blur(constant, [(1.0, 0.5)]), constant)


def test_noise_has_its_strength_and_seed():
    still = torch.zeros(1, 40, 40, 40)
    noisy = intensity.add_noise(still, 0.3, 7)
    assert noisy.std().item() == pytest.approx(0.3, rel=0.02)
    assert torch.equal(noisy, intensity.add_noise(still, 0.3, 7))
    assert not torch.equal(noisy, intensity.add_noise(still, 0.3, 8))


def test_contrast_keeps_the_mean_direction_and_the_range():
    image = sample(2, 10, 10)
    stretched = intensity.stretch_contrast(image, [1.25, 0.75])
    for channel in range(2):
        assert stretched[channel].max() <= image[channel].max()
        assert stretched[channel].min() >= image[channel].min()
    low = image[1]
    torch.testing.assert_close(stretched[1], (low - low.mean()) * 0.75 + low.mean())


@pytest.mark.parametrize("inverted", [False, True])
def test_gamma_restores_mean_and_deviation(inverted):
    image = sample(2, 16, 16)
    changed = intensity.gamma(image, [0.7, 1.5], inverted=inverted)
    torch.testing.assert_close(changed.mean((1, 2)), image.mean((1, 2)), atol=1e-5, rtol=0)
    torch.testing.assert_close(changed.std((1, 2)), image.std((1, 2)), atol=1e-5, rtol=0)
    assert not torch.allclose(changed, image)
    constant = intensity.gamma(torch.full((1, 4, 4), 2.0), [1.3], inverted=inverted)
    torch.testing.assert_close(constant, torch.full((1, 4, 4), 2.0))


def test_low_resolution_keeps_size_and_untouched_channels():
    image = sample(2, 8, 16, 16)
    coarse = intensity.lower_resolution(image, [0.5, None], keep_first_axis=True)
    assert torch.equal(coarse[1], image[1])
    assert coarse[0].std() < image[0].std()
    constant = torch.full((1, 6, 6), 3.0)
    assert torch.equal(intensity.lower_resolution(constant, [0.6], keep_first_axis=False), constant)


def test_mirror_flips_the_named_axes():
    image = sample(1, 2, 3, 4)
    assert torch.equal(mirror(image, (0, 2)), image.flip(1, 3))


def test_the_same_draw_gives_the_same_patch():
    recipe, random = Augmentation(rotation=1, noise=1, blur=1, gamma=1), np.random.default_rng(3)
    what = draw(random, recipe, rank=2, channels=3, mirror_axes=(0, 1))
    image, labels = sample(3, 24, 24), torch.randint(0, 4, (24, 24))
    first, second = (apply(image, labels, (16, 16), what) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
