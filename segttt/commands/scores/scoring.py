"""How a folder of segmentations is to be scored, and the score of one case."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from segttt.config import preset as presets
from segttt.config.plan import Evaluation
from segttt.config.report import (
    CaseScore,
    CellScore,
    LesionRule,
    ModelFacts,
    Protocol,
    Scoring,
)
from segttt.config.text import read_json
from segttt.errors import GeometryError, LayoutError, UsageError
from segttt.geometry.grid import Grid
from segttt.io.volumes import Onto, read_labels
from segttt.metrics.instances import score_instances
from segttt.metrics.overlap import overlap
from segttt.metrics.protocols import adjusted_cells
from segttt.metrics.score import score
from segttt.preprocessing.cells import decode, decode_paper
from segttt.preprocessing.instances import interior_and_boundary


@dataclass(frozen=True)
class Request:
    """What the user asked of evaluate."""

    protocol: Protocol = "strict"
    preset: str | None = None
    """Whose labels and tolerances to use; None: those that the predictions carry."""
    tolerance_mm: float | None = None
    """For all labels without one of their own."""
    labels: dict[int, str] | None = None
    instances: bool = False
    """Both folders number objects."""
    surfaces: bool = True
    ious: tuple[float, ...] = ()
    """Overlaps at which cells are counted, the first in the summary's main table."""
    lesions: LesionRule | None = None


@dataclass(frozen=True)
class Told:
    """What a folder of predictions says of itself."""

    labels: dict[int, str] | None = None
    classes: bool = False
    """The files hold interior and boundary of objects that the truth numbers."""
    evaluation: Evaluation = field(default_factory=Evaluation)
    models: tuple[ModelFacts, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    """Case -> time of its prediction."""


def told_by(predictions: Path) -> Told:
    """The manifest of a folder that `segttt predict` wrote; nothing for any other folder."""
    path = predictions / "manifest.json"
    if not path.is_file():
        return Told()
    try:
        content = read_json(path)
        return Told(
            {int(v): str(n) for v, n in content["labels"].items()},
            bool(content["instances"]),
            Evaluation.model_validate(content.get("evaluate", {})),
            tuple(ModelFacts.model_validate(one) for one in content.get("networks", ())),
            {
                case: float(one["seconds"])
                for case, one in content.get("cases", {}).items()
                if "seconds" in one
            },
        )
    except (UsageError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise LayoutError(
            f"{path}: is not a manifest of segttt predict. Delete or mend it."
        ) from error


def scoring_of(request: Request, told: Told) -> tuple[Scoring, dict[int, str] | None]:
    """The rules of scoring, and the labels where anything names them."""
    chosen = presets.load(request.preset) if request.preset else None
    evaluation = chosen.evaluate if chosen else told.evaluation
    named = chosen.dataset.labels if chosen and chosen.dataset else None
    scoring = Scoring(
        protocol=request.protocol,
        surfaces=request.surfaces and not (told.classes or request.instances),
        tolerances_mm=dict(evaluation.nsd_mm),
        default_tolerance_mm=_first(request.tolerance_mm, evaluation.nsd_px, 1.0),
        iou=request.ious[0] if request.ious else evaluation.iou or 0.5,
        more_ious=request.ious[1:],
        lesions=request.lesions,
        z_crop_labels=evaluation.z_crop_labels,
    )
    return scoring, request.labels or named or told.labels


def _first(*tolerances: float | None) -> float:
    return next(one for one in tolerances if one is not None)


@dataclass(frozen=True)
class Kind:
    """What the files hold."""

    classes: bool
    """Predictions hold interior and boundary of objects that the truth numbers."""
    instances: bool
    """Predictions and truth number objects."""


def score_files(
    case: str,
    files: tuple[Path, Path],
    names: dict[int, str],
    kind: Kind,
    ways: Sequence[Scoring],
) -> list[CaseScore]:
    """Score a prediction against its truth, once for each of the `ways`; `files` in this order.

    A prediction that does not lie on the grid of its truth raises `GeometryError`.
    """
    prediction, truth = files
    found, found_grid = read_labels(prediction)
    true, true_grid = read_labels(truth, Onto(found_grid, names))
    if difference := _misplaced(found_grid, true_grid):
        raise GeometryError(
            f"{prediction}: does not lie on the grid of {truth.name} ({difference}). "
            "Resample it onto that grid first."
        )
    pair = (interior_and_boundary(true) if kind.classes else true, found)
    scores = []
    for way in ways:
        if kind.instances:
            scored = CaseScore(id=case, labels=(), voxels=true.size, picture=true.shape[0] == 1)
        else:
            scored = score(case, pair, list(names), true_grid.spacing_mm, way)
        if kind.instances or kind.classes:
            cells = _cells(true, found, way, decoded=kind.classes)
            scored = scored.model_copy(update={"cells": cells[0], "more_cells": cells[1:]})
        scores.append(scored)
    return scores


def _misplaced(prediction: Grid, truth: Grid) -> str | None:
    """How a prediction lies elsewhere than its truth, in words; None where it does not."""
    difference = truth.difference(prediction)
    if difference is None or truth.shape != prediction.shape:
        return difference
    if not np.allclose(prediction.spacing_mm, truth.spacing_mm, rtol=1e-3, atol=0):
        spacings = (np.round(grid.spacing_mm, 4).tolist() for grid in (prediction, truth))
        return "spacing {} against {} mm (z, y, x)".format(*spacings)
    if not np.allclose(prediction.direction, truth.direction, atol=1e-3):
        return f"mirrored or turned, {difference}"
    return f"shifted, {difference}"


def _cells(
    true: np.ndarray, found: np.ndarray, scoring: Scoring, *, decoded: bool
) -> tuple[CellScore, ...]:
    """Cells at each IoU of the rules; classes are turned into numbered cells first."""
    paper = scoring.protocol == "paper"
    if decoded:
        found = (decode_paper if paper else decode)(found)
    flat = true.shape[0] == 1
    pair = (true[0], found[0]) if flat else (true, found)
    rule = "paper" if paper else "strict"
    thresholds = (scoring.iou, *scoring.more_ious)
    (whole,) = overlap((true != 0).view(np.uint8), (found != 0).view(np.uint8), [1])
    dice = 1.0 if paper and whole.dice is None else whole.dice
    names = [name for name in CellScore.model_fields if name != "dice"]
    scores = (
        CellScore(dice=dice, **{name: getattr(one, name) for name in names})
        for one in score_instances(*pair, thresholds, rule=rule)
    )
    return tuple(adjusted_cells(one, scoring.protocol) for one in scores)
