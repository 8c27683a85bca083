"""Soft Dice and cross-entropy from one softmax."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

SMOOTH = 1e-5


def soft_dice(
    probabilities: Float[Tensor, "b k *grid"], labels: Int[Tensor, "b *grid"], *, over_batch: bool
) -> Float[Tensor, ""]:
    """Mean soft Dice of the foreground classes, in [0, 1].

    Counted per sample and class, or over the whole batch per class. A class that is absent from
    both scores close to 1. Source: nnU-Net (Nature Methods 18, 203), its smoothing of 1e-5.
    """
    classes = torch.arange(1, probabilities.shape[1], device=labels.device)
    flat = probabilities[:, 1:].flatten(2)  # [b, k-1, n]
    truth = labels.flatten(1)[:, None] == classes[:, None]  # [b, k-1, n]
    shared = (flat * truth).sum(-1)
    total = flat.sum(-1) + truth.sum(-1)
    if over_batch:
        shared, total = shared.sum(0), total.sum(0)
    return ((2 * shared + SMOOTH) / (total + SMOOTH).clamp_min(1e-8)).mean()


def dice_and_cross_entropy(
    logits: Float[Tensor, "b k *grid"], labels: Int[Tensor, "b *grid"], *, over_batch: bool
) -> Float[Tensor, ""]:
    """Cross-entropy minus soft Dice; the optimum is -1. Computed in fp32."""
    log_probabilities = logits.float().log_softmax(1)
    cross_entropy = -log_probabilities.gather(1, labels[:, None]).mean()
    return cross_entropy - soft_dice(log_probabilities.exp(), labels, over_batch=over_batch)
