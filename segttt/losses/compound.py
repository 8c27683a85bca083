"""The training loss over all outputs of a deeply supervised network."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from segttt.errors import UsageError
from segttt.losses.dice import dice_and_cross_entropy


def output_weights(
    rule: Literal["halving", "three_largest", "none"] | tuple[float, ...], outputs: int
) -> tuple[float, ...]:
    """Weight of each output, highest resolution first; they sum to 1.

    halving: 1/2^i, the last one 0 (nnU-Net); three_largest: the first three at 1/2^i (MM-UNet);
    a tuple gives the weights of the first outputs.
    """
    if rule == "none" or outputs == 1:
        raw = [1.0]
    elif rule == "halving":
        raw = [0.5**level for level in range(outputs - 1)]
    elif rule == "three_largest":
        raw = [0.5**level for level in range(min(outputs, 3))]
    else:
        raw = list(rule)
    if len(raw) > outputs or sum(raw) <= 0:
        raise UsageError(
            f"train.deep_supervision has {len(raw)} weights, but the network has {outputs} outputs."
        )
    raw += [0.0] * (outputs - len(raw))
    return tuple(weight / sum(raw) for weight in raw)


def shrink_labels(labels: Int[Tensor, "b *grid"], shape: Sequence[int]) -> Int[Tensor, "b *small"]:
    """Labels at a coarser resolution: the value at the centre of each coarse voxel."""
    for axis, size in enumerate(shape, start=1):
        fine = labels.shape[axis]
        if size != fine:
            centres = ((torch.arange(size, device=labels.device) + 0.5) * fine / size).long()
            labels = labels.index_select(axis, centres)
    return labels


def deep_supervision_loss(
    outputs: Sequence[Float[Tensor, "b k *_"]],
    labels: Int[Tensor, "b *grid"],
    weights: Sequence[float],
    *,
    over_batch: bool,
) -> Float[Tensor, ""]:
    """Weighted sum of cross-entropy and Dice over the outputs; outputs of weight 0 cost nothing."""
    terms = [
        weight
        * dice_and_cross_entropy(
            logits, shrink_labels(labels, logits.shape[2:]), over_batch=over_batch
        )
        for logits, weight in zip(outputs, weights, strict=True)
        if weight > 0
    ]
    return torch.stack(terms).sum()
