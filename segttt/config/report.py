"""Scores as they are written: per label, per case, and summed up."""

from typing import Annotated, Literal

from pydantic import Field

from segttt.config.strict import Strict

State = Literal["ok", "both_empty", "truth_empty", "prediction_empty"]
Protocol = Literal["strict", "paper", "nnunet", "flare22"]
"""strict: ours; paper: the scripts of U-Mamba and TTT-UNet; nnunet: its evaluation; flare22: the
challenge's."""
Share = Annotated[float, Field(ge=0, le=1)]
DEFINITIONS = "segttt-scores-1"
"""Name of the definitions of all scores (docs/evaluation.md); it changes with any of them."""


class LesionRule(Strict):
    """What counts as a lesion, and when it is found."""

    connectivity: Literal["corners", "faces"] = "corners"
    """Voxels of one lesion share a corner (26 neighbours, 8 in pictures) or a face (6, 4)."""
    iou: float | None = Field(default=None, gt=0, le=1)
    """Overlap at which a true and a predicted lesion are matched, one to one; null: a true lesion
    is found where a single voxel of it is predicted, and one predicted lesion may find several."""
    smallest_mm3: float = Field(default=0.0, ge=0)
    """Smaller components (mm²: pixels in pictures) are dropped on both sides first."""


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
    more_ious: tuple[float, ...] = ()
    """Further overlaps at which cells are counted."""
    lesions: LesionRule | None = None
    """Count lesions; null: do not."""
    z_crop_labels: tuple[int, ...] = ()
    """Labels that paper and flare22 score between the first and last true slice only."""

    def tolerance_mm(self, label: int) -> float:
        """Largest distance at which two surfaces count as one."""
        return self.tolerances_mm.get(label, self.default_tolerance_mm)


class LesionScore(Strict):
    """Lesions (connected components) of one label, in one case or summed over cases."""

    n_truth: int
    n_prediction: int
    found: int
    """True lesions that were found."""
    missed: int
    """True lesions that were not."""
    false: int
    """Predicted lesions that are none."""
    sensitivity: Share | None
    """found / (found + missed); null where the truth has no lesion."""
    precision: Share | None
    """found / (found + false); null where no lesion was predicted."""
    f1: Share | None
    """2 found / (2 found + false + missed); null where neither has a lesion."""


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
    """2 tp / (n_truth + n_prediction); null where both are empty or the papers' scripts fail."""
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
    lesions: LesionScore | None = None


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
    dice: Share | None = None
    """Of all cells together, those at the border included; null where there is none."""


class CaseScore(Strict):
    """All labels of one case."""

    id: str
    labels: tuple[LabelScore, ...]
    undeclared: dict[int, int] = {}
    """Value in the prediction that is no label -> voxels; scored as background."""
    voxels: int = 0
    """Of the whole grid."""
    picture: bool = False
    """A single slice, scored in 2D."""
    cells: CellScore | None = None
    more_cells: tuple[CellScore, ...] = ()
    """The cells at further thresholds."""


SURFACE_METRICS = ("nsd", "hd95_mm", "assd_mm", "volume_error_ml")


class Statistics(Strict):
    """Spread of one score over cases; null where there are too few."""

    n: int
    """Cases that have a value."""
    mean: float | None = None
    sd: float | None = None
    """Sample standard deviation (n - 1); null below two cases."""
    median: float | None = None
    q1: float | None = None
    """First quartile."""
    q3: float | None = None
    min: float | None = None
    max: float | None = None
    ci95: tuple[float, float] | None = None
    """Of the mean of Dice, NSD and F1: as `Summary.ci95`."""


class RankedCase(Strict):
    """A case and the score it is ranked by."""

    id: str
    dice: float


class LesionSummary(Strict):
    """Lesions of one label over all cases."""

    total: LesionScore
    """All lesions as if of one case: many lesions weigh more than few."""
    sensitivity: Statistics
    """Over the cases, each of which weighs the same."""
    precision: Statistics
    f1: Statistics
    false_per_case: float


class StrictMeans(Strict):
    """What the strict protocol would have said, beside the means of another."""

    dice: float | None
    nsd: float | None


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
    lesions: LesionSummary | None = None
    strict: StrictMeans | None = None


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


class Provenance(Strict):
    """What made the scores; made again, it is the same to the last byte."""

    segttt: str
    python: str
    numpy: str
    scipy: str
    definitions: str = DEFINITIONS
    spacing: Literal["true label maps", "pixels"]
    """Where lengths come from."""
    tolerances_mm: dict[int, float]
    """Of the surface Dice, per label value; pixels for pictures."""
    files_sha256: str
    """Of the lines `case, prediction's SHA-256, truth's SHA-256` of files.json, sorted."""


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
    more_cells: tuple[CellSummary, ...] = ()
    """The cells at further thresholds."""
    remarks: tuple[str, ...] = ()
    """What is misleading about the protocol here, in words."""
    strict: StrictMeans | None = None
    sd_cases: float | None
    """Of the cases' mean Dice."""
    sd_labels: float | None
    """Of the labels' mean Dice."""
    nsd_ci95: tuple[float, float] | None = None
    """Of the mean NSD, as `ci95`."""
    nsd_sd_cases: float | None = None
    """Of the cases' mean NSD."""
    nsd_sd_labels: float | None = None
    """Of the labels' mean NSD."""
    worst: tuple[RankedCase, ...]
    """Cases of the lowest mean Dice, lowest first."""
    undeclared: dict[int, int] = {}
    """Value in the predictions that is no label -> number of cases."""
    surplus: tuple[str, ...] = ()
    """Predictions without truth; they are not scored."""
    scoring: Scoring | None = None
    """Null for the validation of a training."""
    provenance: Provenance | None = None
    models: tuple[ModelFacts, ...] = ()
    """Those whose logits were averaged; empty where the predictions do not tell."""
    seconds_per_case: float | None = None
    """Median time of one prediction, from file to file."""
