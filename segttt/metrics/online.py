"""Pseudo-Dice: the overlap of validation patches while training, as if they were one case."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def counts(
    logits: Float[Tensor, "b k *grid"], labels: Int[Tensor, "b *grid"]
) -> Int[Tensor, "f 3"]:
    """Voxels (tp, fp, fn) of each foreground class, f = k - 1, to be summed over batches.

    The predicted class is the largest logit; `labels` holds classes 0..k-1.
    """
    classes = logits.shape[1]
    pairs = labels * classes + logits.argmax(1)
    # bincount would wait for a GPU to tell the largest value
    one = pairs.new_ones(()).expand(pairs.numel())
    joint = pairs.new_zeros(classes**2).scatter_add_(0, pairs.flatten(), one)
    joint = joint.view(classes, classes)
    tp = joint.diagonal()
    return torch.stack([tp, joint.sum(0) - tp, joint.sum(1) - tp], dim=1)[1:]


def dice(counts: Int[Tensor, "f 3"]) -> list[float | None]:
    """Dice of each foreground class; None where it neither occurs nor is predicted."""
    return [2 * tp / (2 * tp + fp + fn) if tp + fp + fn else None for tp, fp, fn in counts.tolist()]
