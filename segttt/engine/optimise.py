"""Optimiser and learning rate from a recipe."""

import math

import torch
from torch import nn

from segttt.config.recipe import Recipe


def make_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser; weight decay acts on all parameters, as in nnU-Net."""
    parameters = list(network.parameters())
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            parameters,
            lr=recipe.lr,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov and recipe.momentum > 0,
            weight_decay=recipe.weight_decay,
        )
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return kind(parameters, lr=recipe.lr, weight_decay=recipe.weight_decay, eps=recipe.eps)


def learning_rate(recipe: Recipe, progress: float) -> float:
    """The learning rate after a share `progress` in [0, 1] of the training."""
    if progress < recipe.warmup:
        return recipe.lr * max(progress / recipe.warmup, 1e-2)
    done = (min(progress, 1.0) - recipe.warmup) / (1 - recipe.warmup)
    if recipe.schedule == "poly":
        return recipe.lr * (1 - done) ** recipe.poly_exponent
    if recipe.schedule == "cosine":
        share = 0.5 * (1 + math.cos(math.pi * recipe.cosine_turns * done))
        return recipe.lr_end + (recipe.lr - recipe.lr_end) * share
    return recipe.lr
