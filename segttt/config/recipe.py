"""How a network is trained: optimiser, schedule, loss, augmentation."""

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat

from segttt.config.strict import Strict

Probability = float
Count = Annotated[int, Field(gt=0, le=10**9)]


class Recipe(Strict):
    """Training, as nnU-Net does it unless a preset says otherwise."""

    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: PositiveFloat = 1e-2
    """Learning rate at the start."""
    momentum: float = Field(default=0.99, ge=0, lt=1)
    """Momentum of SGD."""
    nesterov: bool = True
    weight_decay: NonNegativeFloat = 3e-5
    eps: PositiveFloat = 1e-5
    """Added to the denominator of Adam and AdamW."""
    schedule: Literal["poly", "cosine", "constant"] = "poly"
    """Decay of the learning rate over the training."""
    poly_exponent: PositiveFloat = 0.9
    lr_end: NonNegativeFloat = 0.0
    """Smallest learning rate of the cosine."""
    cosine_turns: Count = 1
    """Half waves of the cosine: 1 falls once, 3 falls, rises and falls again."""
    schedule_per: Literal["epoch", "iteration"] = "epoch"
    """When the learning rate changes."""
    warmup: float = Field(default=0.0, ge=0, lt=1)
    """Share of the training over which the learning rate rises linearly."""
    epochs: Count = 1000
    iterations: Count = 250
    """Training steps per epoch."""
    val_iterations: int = Field(default=50, ge=0, le=10**9)
    """Validation batches per epoch for the pseudo-Dice."""
    deep_supervision: Literal["halving", "three_largest", "none"] | tuple[NonNegativeFloat, ...] = (
        "halving"
    )
    """Weights of the outputs, highest resolution first; halving: 1/2^i with the last one zero;
    three_largest: 4/7, 2/7, 1/7."""
    grad_clip: PositiveFloat | None = 12.0
    """Largest norm of the gradient."""
    foreground_share: float = Field(default=0.33, ge=0, le=1)
    """Share of a batch that is centred on a foreground voxel."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """auto: fp16 on a GPU (bf16 where it is native), fp32 elsewhere. Mixers always step in fp32."""
    scan: Literal["auto", "mamba"] = "auto"
    """What runs the scans of Mamba on a GPU: segttt's kernels, or those of the package mamba-ssm
    (extra `[mamba]`)."""
    compile: bool = False
    """Compile the network for training by torch.compile: a minute or more at the start of each
    session, then faster steps on a GPU. Needs a C++ compiler, on a GPU also Triton."""
    average: float = Field(default=0.0, ge=0, lt=1)
    """Decay of an exponential moving average of the weights, which is what is saved; 0: none."""


OPTIMISATION = (
    "optimizer", "lr", "momentum", "nesterov", "weight_decay", "eps", "schedule", "poly_exponent",
    "lr_end", "cosine_turns", "schedule_per", "warmup", "deep_supervision",
)  # fmt: skip
"""Fields that a published optimiser and schedule decide together."""


def with_optimisation(recipe: Recipe, fields: dict[str, Any]) -> Recipe:
    """The recipe under another optimiser and schedule; what `fields` leaves out is nnU-Net's."""
    plain = Recipe()
    return recipe.model_copy(update={**{n: getattr(plain, n) for n in OPTIMISATION}, **fields})


class Augmentation(Strict):
    """Probability and range of each random transform; defaults are nnU-Net's."""

    rotation: Probability = Field(default=0.2, ge=0, le=1)
    rotation_deg: float = Field(default=30.0, ge=0, le=180)
    """Largest rotation about each axis."""
    dummy_2d: bool = False
    """Rotate and scale in the plane only, for strongly anisotropic patches."""
    scaling: Probability = Field(default=0.2, ge=0, le=1)
    scaling_range: tuple[PositiveFloat, PositiveFloat] = (0.7, 1.4)
    """Above 1 objects become smaller."""
    noise: Probability = Field(default=0.1, ge=0, le=1)
    blur: Probability = Field(default=0.2, ge=0, le=1)
    brightness: Probability = Field(default=0.15, ge=0, le=1)
    contrast: Probability = Field(default=0.15, ge=0, le=1)
    low_resolution: Probability = Field(default=0.25, ge=0, le=1)
    gamma_inverted: Probability = Field(default=0.1, ge=0, le=1)
    gamma: Probability = Field(default=0.3, ge=0, le=1)
    mirror: Probability = Field(default=0.5, ge=0, le=1)
    """Per axis in `mirror_axes`."""
    mirror_axes: tuple[int, ...] | None = None
    """Spatial axes that may be mirrored, in training and at prediction; null: all."""
