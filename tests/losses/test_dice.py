import pytest
import torch
from torch.nn import functional as F

from segttt.losses.compound import deep_supervision_loss, output_weights, shrink_labels
from segttt.losses.dice import dice_and_cross_entropy, soft_dice


def certain(labels, classes):
    return 40.0 * F.one_hot(labels, classes).movedim(-1, 1).float()


def test_the_optimum_is_minus_one():
    labels = torch.randint(0, 3, (2, 6, 7, 8), generator=torch.Generator().manual_seed(0))
    loss = dice_and_cross_entropy(certain(labels, 3), labels, over_batch=False)
    assert loss.item() == pytest.approx(-1.0, abs=1e-5)


def test_soft_dice_by_hand():
    # one sample of four pixels, foreground probability .8 .6 .1 .5, truth 1 1 0 0
    foreground = torch.tensor([0.8, 0.6, 0.1, 0.5])
    probabilities = torch.stack([1 - foreground, foreground]).view(1, 2, 4, 1)
    labels = torch.tensor([1, 1, 0, 0]).view(1, 4, 1)
    expected = 2 * 1.4 / (2.0 + 2.0)
    assert soft_dice(probabilities, labels, over_batch=False).item() == pytest.approx(
        expected, 1e-4
    )


def test_over_the_batch_counts_are_pooled():
    probabilities = torch.tensor([[[0.0], [1.0]], [[1.0], [0.0]]]).unsqueeze(-1)  # [2, 2, 1, 1]
    labels = torch.tensor([1, 1]).view(2, 1, 1)
    pooled = soft_dice(probabilities, labels, over_batch=True).item()
    apart = soft_dice(probabilities, labels, over_batch=False).item()
    assert pooled == pytest.approx(2 / 3, abs=1e-4)
    assert apart == pytest.approx(0.5, abs=1e-4)


def test_cross_entropy_part_equals_pytorch():
    logits = torch.randn(2, 4, 5, 6, generator=torch.Generator().manual_seed(1))
    labels = torch.randint(0, 4, (2, 5, 6), generator=torch.Generator().manual_seed(2))
    both = dice_and_cross_entropy(logits, labels, over_batch=True)
    dice = soft_dice(logits.softmax(1), labels, over_batch=True)
    torch.testing.assert_close(both + dice, F.cross_entropy(logits, labels))


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        (5, [0.5333, 0.2667, 0.1333, 0.0667, 0]),
        (6, [0.5161, 0.2581, 0.1290, 0.0645, 0.0323, 0]),
        (1, [1.0]),
        (2, [1.0, 0.0]),
    ],
)
def test_halving_weights_are_nnunets(outputs, expected):
    assert output_weights("halving", outputs) == pytest.approx(expected, abs=1e-4)


def test_given_weights_cover_the_first_outputs():
    weights = output_weights((4 / 7, 2 / 7, 1 / 7), 5)
    assert weights == pytest.approx([4 / 7, 2 / 7, 1 / 7, 0, 0])


def test_labels_shrink_as_nearest_exact_interpolation():
    labels = torch.randint(0, 5, (2, 8, 12, 10), generator=torch.Generator().manual_seed(3))
    expected = F.interpolate(labels[:, None].double(), (4, 12, 5), mode="nearest-exact")[:, 0]
    assert torch.equal(shrink_labels(labels, (4, 12, 5)), expected.long())


def test_deep_supervision_is_the_weighted_sum():
    random = torch.Generator().manual_seed(4)
    fine = torch.randn(1, 2, 8, 8, generator=random)
    coarse = torch.randn(1, 2, 4, 4, generator=random)
    labels = torch.randint(0, 2, (1, 8, 8), generator=random)
    total = deep_supervision_loss([fine, coarse], labels, (0.75, 0.25), over_batch=False)
    parts = 0.75 * dice_and_cross_entropy(fine, labels, over_batch=False)
    parts += 0.25 * dice_and_cross_entropy(coarse, labels[:, 1::2, 1::2], over_batch=False)
    torch.testing.assert_close(total, parts)


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [(5, [4 / 7, 2 / 7, 1 / 7, 0, 0]), (3, [4 / 7, 2 / 7, 1 / 7]), (2, [2 / 3, 1 / 3]), (1, [1])],
)
def test_three_largest_weights_are_mm_unets(outputs, expected):
    assert output_weights("three_largest", outputs) == pytest.approx(expected)
