"""Score a folder of segmentations against the truth."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from segttt.cases import Failure
from segttt.cluster.local import map_cases
from segttt.commands.watch import Watch
from segttt.config.report import CaseScore, Summary
from segttt.errors import DataError, GeometryError, ImageError, LayoutError, SegtttError
from segttt.io.files import write_text
from segttt.io.layouts.inputs import list_inputs
from segttt.io.volumes import read_labels
from segttt.io.workspace import write_json
from segttt.metrics.overlap import score_case
from segttt.metrics.summary import summarise
from segttt.preprocessing.instances import interior_and_boundary
from segttt.report.tables import cases_csv


@dataclass(frozen=True)
class Evaluated:
    """The scores and the cases that could not be scored."""

    out: Path
    summary: Summary
    scores: Sequence[CaseScore]
    failures: Sequence[Failure]
    surplus: Sequence[str]
    """Predictions without truth; they are not scored."""


def evaluate(
    predictions: Path,
    truth: Path,
    out: Path,
    watch: Watch,
    *,
    labels: dict[int, str] | None = None,
    workers: int = 1,
) -> Evaluated:
    """Score every case of `truth`; a missing or misplaced prediction is a failure of its case."""
    told, instances = _manifest(predictions)
    expected, given = pairs(predictions, truth)
    names = labels or told or _names_in(expected.values())

    def score(case: str) -> CaseScore:
        if case not in given:
            raise ImageError(f"{predictions}: has no segmentation of {case}. Predict it first.")
        return _score(case, given[case], expected[case], names, instances=instances)

    scores: list[CaseScore] = []
    failures: list[Failure] = []
    results = map_cases(score, sorted(expected), workers=workers)
    for case, result in watch.track(results, "evaluate", len(expected)):
        if isinstance(result, DataError):
            failures.append(Failure(case, "evaluate", str(result)))
        elif isinstance(result, SegtttError):
            raise result
        else:
            scores.append(result)
    summary = summarise(scores, names, n_failed=len(failures))
    write_text(out / "cases.csv", cases_csv(scores, names))
    write_text(out / "summary.json", summary.dump())
    write_json(out / "failures.json", [asdict(failure) for failure in failures])
    return Evaluated(out, summary, scores, failures, sorted(set(given) - set(expected)))


def pairs(predictions: Path, truth: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """True and predicted label maps by id; a `LayoutError` where they share no case."""
    expected, given = _files(truth), _files(predictions)
    if not set(expected) & set(given):
        raise LayoutError(
            f"{predictions}: has no case in common with {truth}. "
            "File names without ending must agree."
        )
    return expected, given


def _score(
    case: str, prediction: Path, truth: Path, names: dict[int, str], *, instances: bool
) -> CaseScore:
    found, found_grid = read_labels(prediction)
    true, true_grid = read_labels(truth)
    if difference := true_grid.difference(found_grid):
        raise GeometryError(
            f"{prediction}: does not lie on the grid of {truth.name} ({difference}). "
            "Resample it onto that grid first."
        )
    if instances:
        true = interior_and_boundary(true)
    return score_case(case, true, found, list(names))


def _files(folder: Path) -> dict[str, Path]:
    """Case id -> file."""
    cases, _ = list_inputs(folder, 1)
    return {case.id: case.images[0] for case in cases}


def _manifest(predictions: Path) -> tuple[dict[int, str] | None, bool]:
    """Label names and kind of a folder that `segttt predict` wrote; None for any other folder."""
    path = predictions / "manifest.json"
    if not path.is_file():
        return None, False
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {int(v): str(n) for v, n in content["labels"].items()}, bool(content["instances"])
    except (ValueError, KeyError, AttributeError) as error:
        raise LayoutError(
            f"{path}: is not a manifest of segttt predict. Delete or mend it."
        ) from error


def _names_in(files: Iterable[Path]) -> dict[int, str]:
    """Names for the label values that occur in the truth."""
    values: set[int] = set()
    for path in files:
        try:
            values.update(int(v) for v in np.unique(read_labels(path)[0]))
        except DataError:
            continue  # the case itself is reported when it is scored
    return {value: f"label {value}" for value in sorted(values - {0})}
