"""The plan: everything that decides a result, in one file that travels with the weights."""

import hashlib
from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveFloat, model_validator

from segttt.config.dataset import LabelValue
from segttt.config.network import NetworkSpec, Topology, UNetSpec
from segttt.config.recipe import Augmentation, Recipe
from segttt.config.strict import Strict

Spacing = Annotated[float, Field(ge=1e-6, le=1e5)]
"""Of voxels in mm; beyond, every scan would be resampled to one voxel, or to too many."""
Scheme = Literal["ct", "zscore", "rescale_to_0_1", "rgb_to_0_1", "none"]


class Normalisation(Strict):
    """Normalisation of one channel."""

    scheme: Scheme
    """ct: clip to `clip`, subtract `mean`, divide by `std`; zscore: by the case's own numbers."""
    masked: bool = False
    """zscore inside the non-zero region only; outside stays 0."""
    clip: tuple[float, float] | None = None
    mean: float = 0.0
    std: PositiveFloat = 1.0


class Inference(Strict):
    """Sliding-window prediction."""

    overlap: float = Field(default=0.5, ge=0, le=0.9)
    """Overlap of neighbouring windows, as a share of the patch."""
    mirror: bool = True
    """Average over all mirrored copies: eight for volumes."""
    average: Literal["logits", "probabilities"] = "logits"
    """What is averaged over mirrored copies, models and windows."""


class Evaluation(Strict):
    """How a result is scored."""

    metrics: tuple[Literal["dsc", "nsd", "f1"], ...] = ("dsc",)
    nsd_mm: dict[int, PositiveFloat] = {}
    """Tolerance of the surface distance per label value."""
    nsd_px: PositiveFloat | None = None
    iou: PositiveFloat | None = None
    """Overlap at which a cell counts as found."""
    z_crop_labels: tuple[int, ...] = ()
    """Labels that the papers' script scores between the first and last true slice only."""
    note: str = ""


class Plan(Strict):
    """Everything between the files and the score. Spatial axes are (z, y, x) after `axes`."""

    largest_bytes: ClassVar[int] = 2**20  # it has some 10 KiB

    version: Literal[1] = 1
    name: str
    """Of the preset, or of the dataset."""
    preset: str | None = None
    planner: Literal["v2.1", "v2.8"] = "v2.1"
    channels: tuple[str, ...] = Field(min_length=1)
    labels: dict[LabelValue, str] = Field(min_length=1)
    """Value in the files -> name; class i of the network is the i-th entry, background is 0."""
    instances: bool = False
    axes: tuple[int, int, int] = (0, 1, 2)
    """Order in which the canonical axes are taken; the coarsest comes first."""
    spacing_mm: tuple[Spacing, Spacing, Spacing]
    """Grid of training and prediction, in the order of `axes`; 1 for pictures."""
    resample_z: bool = True
    """False for slice-wise (2D) networks: the first axis keeps its spacing."""
    normalisation: tuple[Normalisation, ...]
    topology: Topology
    network: NetworkSpec = UNetSpec()
    batch: int = Field(ge=1, le=4096)
    batch_dice: bool
    """Dice over the batch rather than over each sample."""
    augment: Augmentation = Augmentation()
    train: Recipe = Recipe()
    predict: Inference = Inference()
    evaluate: Evaluation = Evaluation()

    @model_validator(mode="after")
    def _agree(self) -> "Plan":
        if len(self.normalisation) != len(self.channels):
            raise ValueError("normalisation needs one entry per channel")
        if sorted(self.axes) != [0, 1, 2]:
            raise ValueError("axes must order 0, 1 and 2")
        if 0 in self.labels:
            raise ValueError("0 is the background and cannot be a label")
        if not all(0 <= axis < self.topology.rank for axis in self.mirror_axes):
            raise ValueError("augment.mirror_axes must be axes of the patch, counted from 0")
        return self

    @property
    def classes(self) -> int:
        """Number of classes, background included."""
        return len(self.labels) + 1

    @property
    def mirror_axes(self) -> tuple[int, ...]:
        """Spatial axes of the patch that are mirrored."""
        chosen = self.augment.mirror_axes
        return tuple(range(self.topology.rank)) if chosen is None else chosen

    def prepared_digest(self) -> str:
        """Names the prepared data: changes with whatever changes a prepared voxel."""
        decisive = self.model_dump_json(
            include={
                "channels",
                "labels",
                "instances",
                "axes",
                "spacing_mm",
                "resample_z",
                "normalisation",
            }
        )
        return hashlib.sha256(decisive.encode()).hexdigest()[:12]
