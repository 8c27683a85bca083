"""Scores as they are written: per label, per case, and summed up."""

from typing import Annotated, Literal

from pydantic import Field

from segttt.config.strict import Strict

State = Literal["ok", "both_empty", "truth_empty", "prediction_empty"]
Protocol = Literal["strict", "paper", "nnunet", "flare22"]
"""strict: ours; paper: the scripts of U-Mamba and TTT-UNet; nnunet: its evaluation; flare22: the
challenge's."""
Share = Annotated[float, Field(ge=0, le=1)]


class Scoring(Strict):
    """How segmentations are scored."""

    protocol: Protocol = "strict"
    surfaces: bool = True
    """Surface Dice, distances and volumes beside the overlap."""
    tolerances_mm: dict[int, float] = {}
    """Tolerance of the surface Dice per label value; pixels for pictures."""
    default_tolerance_mm: float = Field(default=1.0, ge=0)
    """Of labels that `tolerances_mm` does not name."""
    iou: float = Field(default=0.5, gt=0, le=1)
    """Overlap at which a cell counts as found."""
    z_crop_labels: tuple[int, ...] = ()
    """Labels that paper and flare22 score between the first and last true slice only."""

    def tolerance_mm(self, label: int) -> float:
        """Largest distance at which two surfaces count as one."""
        return self.tolerances_mm.get(label, self.default_tolerance_mm)


class LabelScore(Strict):
    """Overlap and surfaces of one label in one case; counts are voxels."""

    label: int
    state: State
    """Where truth or prediction hold no voxel of the label."""
    tp: int
    fp: int
    fn: int
    n_truth: int
    n_prediction: int
    dice: Share | None
    """2 tp / (n_truth + n_prediction); null where both are empty."""
    iou: Share | None
    """tp / (tp + fp + fn); null where both are empty."""
    nsd: Share | None = None
    """Share of both surfaces within `tolerance_mm` of the other one (surface Dice)."""
    tolerance_mm: float | None = None
    hd95_mm: float | None = None
    """Larger of both directed 95th percentiles of the surface distance, weighted by area."""
    assd_mm: float | None = None
    """Mean of both directed mean surface distances, weighted by area."""
    volume_error_ml: float | None = None
    """Predicted minus true volume; null for pictures."""


class CellScore(Strict):
    """Numbered cells of one picture, matched one to one."""

    threshold: float
    """IoU from which a pair counts as matched."""
    n_truth: int
    n_prediction: int
    tp: int
    precision: Share | None
    recall: Share | None
    f1: Share | None
    pq: Share | None
    """Panoptic quality: mean IoU of the matched pairs times F1."""


class CaseScore(Strict):
    """All labels of one case."""

    id: str
    labels: tuple[LabelScore, ...]
    undeclared: dict[int, int] = {}
    """Value in the prediction that is no label -> voxels; scored as background."""
    voxels: int = 0
    """Of the whole grid."""
    cells: CellScore | None = None


SURFACE_METRICS = ("nsd", "hd95_mm", "assd_mm", "volume_error_ml")


class Statistics(Strict):
    """Spread of one score over cases; null where there are too few."""

    n: int
    """Cases that have a value."""
    mean: float | None = None
    sd: float | None = None
    """Sample standard deviation (n - 1); null below two cases."""
    median: float | None = None
    min: float | None = None


class RankedCase(Strict):
    """A case and the score it is ranked by."""

    id: str
    dice: float


class LabelSummary(Strict):
    """One label over all cases."""

    label: int
    name: str
    dice: Statistics
    iou: Statistics
    nsd: Statistics = Statistics(n=0)
    hd95_mm: Statistics = Statistics(n=0)
    assd_mm: Statistics = Statistics(n=0)
    volume_error_ml: Statistics = Statistics(n=0)
    tolerance_mm: float | None = None
    n_both_empty: int
    """Cases without the label in truth and prediction; not part of any mean."""
    n_truth_empty: int
    """Cases where the label was found but is not there; they count as 0."""
    n_prediction_empty: int
    """Cases where the label was missed altogether; they count as 0."""
    worst: tuple[RankedCase, ...]
    """Lowest Dice first."""


class CellSummary(Strict):
    """Cells over all pictures; each picture weighs the same."""

    threshold: float
    f1: Statistics
    precision: Statistics
    recall: Statistics
    pq: Statistics
    n_truth: int
    n_prediction: int
    tp: int


class ModelFacts(Strict):
    """One trained model that made the predictions; null where it was not measured."""

    network: str
    """Name of the run: the network and what the user changed of it."""
    fold: str
    seed: int
    parameters: int
    preset: str | None = None
    """Preset of the plan."""
    training_seconds: float | None = None
    training_peak_bytes: int | None = None
    """Highest memory of the training: of the device on a GPU, resident elsewhere."""


class Summary(Strict):
    """All cases. Standard deviations are sample deviations (n - 1)."""

    version: Literal[1] = 1
    protocol: Protocol
    """strict: full volume; label absent from both: no value; absent from one: 0."""
    n_cases: int
    """Scored cases."""
    n_failed: int
    """Cases that could not be scored; they are part of no mean."""
    per_label: tuple[LabelSummary, ...]
    mean_dice: float | None
    """Mean over cases of each case's mean over its labels."""
    ci95: tuple[float, float] | None = None
    """Of the mean Dice over cases: BCa bootstrap, 10,000 draws of cases; null below six cases."""
    mean_iou: float | None
    """As `mean_dice`."""
    mean_nsd: float | None = None
    """As `mean_dice`."""
    mean_hd95_mm: float | None = None
    """As `mean_dice`; cases and labels without a distance are left out."""
    mean_assd_mm: float | None = None
    """As `mean_hd95_mm`."""
    cells: CellSummary | None = None
    """Where the labels number objects."""
    remarks: tuple[str, ...] = ()
    """What is misleading about the protocol here, in words."""
    sd_cases: float | None
    """Of the cases' mean Dice."""
    sd_labels: float | None
    """Of the labels' mean Dice."""
    worst: tuple[RankedCase, ...]
    """Cases of the lowest mean Dice, lowest first."""
    undeclared: dict[int, int] = {}
    """Value in the predictions that is no label -> number of cases."""
    models: tuple[ModelFacts, ...] = ()
    """Those whose logits were averaged; empty where the predictions do not tell."""
    seconds_per_case: float | None = None
    """Median time of one prediction, from file to file."""
