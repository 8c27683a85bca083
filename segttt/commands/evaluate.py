"""Score a folder of segmentations against the truth."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from segttt.cases import Failure
from segttt.cluster.local import map_cases
from segttt.commands.scoring import Kind, Request, score_files, scoring_of, told_by
from segttt.commands.watch import Watch
from segttt.config.report import CaseScore, Scoring, Summary
from segttt.errors import DataError, ImageError, LayoutError, SegtttError
from segttt.io.files import write_text
from segttt.io.layouts.inputs import list_inputs
from segttt.io.volumes import read_labels
from segttt.io.workspace import write_json
from segttt.metrics.protocols import remarks
from segttt.metrics.summary import summarise
from segttt.report.nnunet import nnunet_summary
from segttt.report.tables import cases_csv, cells_csv, figures


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
    request: Request | None = None,
    workers: int = 1,
) -> Evaluated:
    """Score every case of `truth`; a missing or misplaced prediction is a failure of its case."""
    request = request or Request()
    told = told_by(predictions)
    scoring, named = scoring_of(request, told)
    expected, given = pairs(predictions, truth)
    kind = Kind(told.classes and not request.instances, request.instances)
    ways = [scoring]
    if scoring.protocol != "strict":
        ways.append(scoring.model_copy(update={"protocol": "strict"}))
    names = {} if request.instances else named or _names_in(expected.values())

    def score(case: str) -> list[CaseScore]:
        if case not in given:
            raise ImageError(f"{predictions}: has no segmentation of {case}. Predict it first.")
        return score_files(case, (given[case], expected[case]), names, kind, ways)

    scores: list[list[CaseScore]] = []
    failures: list[Failure] = []
    results = map_cases(score, sorted(expected), workers=workers)
    for case, result in watch.track(results, "evaluate", len(expected)):
        if isinstance(result, DataError):
            failures.append(Failure(case, "evaluate", str(result)))
        elif isinstance(result, SegtttError):
            raise result
        else:
            scores.append(result)
    told_scores, strict = [each[0] for each in scores], [each[-1] for each in scores]
    summary = _summary(told_scores, strict, names, scoring, len(failures))
    _write(out, told_scores, names, summary)
    write_json(out / "failures.json", [asdict(failure) for failure in failures])
    return Evaluated(out, summary, told_scores, failures, sorted(set(given) - set(expected)))


def _summary(
    scores: Sequence[CaseScore],
    strict: Sequence[CaseScore],
    names: dict[int, str],
    scoring: Scoring,
    failed: int,
) -> Summary:
    """The summary by the protocol; others than strict say what strict would have said."""
    protocol = scoring.protocol
    said: list[str] = []
    if protocol != "strict":
        flat = bool(scores) and all(case.cells is not None or _flat(case) for case in scores)
        ours = summarise(strict, names)
        said = [*remarks(scoring, picture=flat), f"By the strict protocol: {figures(ours)}."]
    return summarise(scores, names, n_failed=failed, protocol=protocol, remarks=said)


def _flat(case: CaseScore) -> bool:
    """Whether the case was a picture: it has areas, but no volumes."""
    return all(score.volume_error_ml is None for score in case.labels)


def _write(out: Path, scores: Sequence[CaseScore], names: dict[int, str], summary: Summary) -> None:
    if names:
        write_text(out / "cases.csv", cases_csv(scores, names))
    if summary.cells is not None:
        write_text(out / "cells.csv", cells_csv(scores))
    write_text(out / "summary.json", summary.dump())
    if summary.protocol == "nnunet":
        write_json(out / "summary_nnunet.json", nnunet_summary(scores, names))


def pairs(predictions: Path, truth: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """True and predicted label maps by id; a `LayoutError` where they share no case."""
    expected, given = _files(truth), _files(predictions)
    if not set(expected) & set(given):
        raise LayoutError(
            f"{predictions}: has no case in common with {truth}. "
            "File names without ending must agree."
        )
    return expected, given


def _files(folder: Path) -> dict[str, Path]:
    """Case id -> file."""
    cases, _ = list_inputs(folder, 1)
    return {case.id: case.images[0] for case in cases}


def _names_in(files: Iterable[Path]) -> dict[int, str]:
    """Names for the label values that occur in the truth."""
    values: set[int] = set()
    for path in files:
        try:
            values.update(int(v) for v in np.unique(read_labels(path)[0]))
        except DataError:
            continue  # the case itself is reported when it is scored
    return {value: f"label {value}" for value in sorted(values - {0})}
