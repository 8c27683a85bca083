"""Scores as they are written: per label, per case, and summed up."""

from typing import Annotated, Literal

from pydantic import Field

from segttt.config.strict import Strict

State = Literal["ok", "both_empty", "truth_empty", "prediction_empty"]
Protocol = Literal["strict"]
Share = Annotated[float, Field(ge=0, le=1)]


class LabelScore(Strict):
    """Overlap of one label in one case; counts are voxels."""

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


class CaseScore(Strict):
    """All labels of one case."""

    id: str
    labels: tuple[LabelScore, ...]
    undeclared: dict[int, int] = {}
    """Value in the prediction that is no label -> voxels; scored as background."""


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
    n_both_empty: int
    """Cases without the label in truth and prediction; not part of any mean."""
    n_truth_empty: int
    """Cases where the label was found but is not there; they count as 0."""
    n_prediction_empty: int
    """Cases where the label was missed altogether; they count as 0."""
    worst: tuple[RankedCase, ...]
    """Lowest Dice first."""


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
    mean_iou: float | None
    """As `mean_dice`."""
    sd_cases: float | None
    """Of the cases' mean Dice."""
    sd_labels: float | None
    """Of the labels' mean Dice."""
    worst: tuple[RankedCase, ...]
    """Cases of the lowest mean Dice, lowest first."""
    undeclared: dict[int, int] = {}
    """Value in the predictions that is no label -> number of cases."""
