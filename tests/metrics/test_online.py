"""Pseudo-Dice: by hand, additive over batches, equal to the Dice of whole cases."""

import pytest
import torch

from segttt.metrics.online import counts, dice
from segttt.metrics.overlap import overlap


def logits(classes, labels):
    """Logits whose largest entry is at the wanted class."""
    return torch.nn.functional.one_hot(labels, classes).movedim(-1, 1).float()


def test_counts_by_hand():
    labels = torch.tensor([[[0, 1, 1, 2]]])
    predicted = torch.tensor([[[1, 1, 0, 0]]])
    found = counts(logits(4, predicted), labels)
    assert found.tolist() == [[1, 1, 1], [0, 0, 1], [0, 0, 0]]
    assert dice(found) == [0.5, 0.0, None]


def test_no_foreground_at_all():
    nothing = counts(torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64))
    assert dice(nothing) == [None]


@pytest.mark.parametrize("shape", [(3, 5, 7), (3, 4, 5, 6)])
def test_batch_equals_the_sum_of_its_samples(shape):
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 4, shape, generator=generator)
    scores = torch.randn(shape[0], 4, *shape[1:], generator=generator)
    alone = [counts(scores[i : i + 1], labels[i : i + 1]) for i in range(shape[0])]
    assert torch.equal(counts(scores, labels), torch.stack(alone).sum(0))


def test_equals_the_dice_of_the_label_map():
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 3, (2, 4, 5, 6), generator=generator)
    scores = torch.randn(2, 3, 4, 5, 6, generator=generator)
    expected = overlap(labels.numpy(), scores.argmax(1).numpy(), [1, 2])
    assert dice(counts(scores, labels)) == [score.dice for score in expected]
