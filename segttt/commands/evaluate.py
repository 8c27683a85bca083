"""Score a folder of segmentations against the truth."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from segttt.cases import Failure
from segttt.cluster.local import map_cases
from segttt.cluster.memory import memory_of
from segttt.commands.scores.pairing import Files, names_in, paired
from segttt.commands.scores.provenance import (
    ScoredFiles,
    files_json,
    provenance,
    rules_digest,
    seconds_per_case,
)
from segttt.commands.scores.scoring import Kind, Request, Told, score_files, scoring_of, told_by
from segttt.commands.watch import Watch
from segttt.config.report import CaseScore, Scoring, StrictMeans, Summary
from segttt.errors import CASE_ERRORS, ImageError, LayoutError, SegtttError
from segttt.io.files import write_text
from segttt.io.journal import Journal
from segttt.io.workspace import locked, write_json
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


@dataclass(frozen=True)
class _Task:
    """What is to be scored, and how."""

    predictions: Path
    expected: Files
    given: Files
    unclear: dict[str, str]
    """Why a case is not to be scored."""
    names: dict[int, str]
    kind: Kind
    ways: Sequence[Scoring]
    """The protocol that was asked for, and strict where that scores a case otherwise."""

    @property
    def surplus(self) -> tuple[str, ...]:
        return tuple(sorted(set(self.given) - set(self.expected)))


@dataclass
class _Results:
    """What is known of the cases so far, by id."""

    files: dict[str, ScoredFiles] = field(default_factory=dict)
    scores: list[list[CaseScore]] = field(default_factory=list)
    """One score of each case for each of the ways."""
    failures: list[Failure] = field(default_factory=list)


def evaluate(
    predictions: Path,
    truth: Path,
    out: Path,
    watch: Watch,
    *,
    request: Request | None = None,
    workers: int = 1,
) -> Evaluated:
    """Score every case of `truth`; a missing or misplaced prediction is a failure of its case.

    Killed, the same command goes on after the last case that was scored, as long as neither its
    files nor the rules have changed.
    """
    request = request or Request()
    told = told_by(predictions)
    task = _task(predictions, truth, request, told)
    results = _Results()
    with locked(out, "evaluates"):
        journal = Journal(out / "journal.jsonl", rules_digest(task.ways, task.names, task.kind))
        _score(task, journal, results, watch, workers)
        summary = _summary(task, results, told)
        _write(out, task, results, summary)
        journal.finish()
    scores = [each[0] for each in results.scores]
    return Evaluated(out, summary, scores, results.failures, task.surplus)


def _task(predictions: Path, truth: Path, request: Request, told: Told) -> _Task:
    scoring, named = scoring_of(request, told)
    expected, given, unclear = paired(predictions, truth)
    ways = [scoring]
    if scoring.protocol in ("paper", "flare22"):  # nnunet scores a case as strict does
        ways.append(scoring.model_copy(update={"protocol": "strict"}))
    names = {} if request.instances else named or names_in(expected.values())
    kind = Kind(told.classes and not request.instances, request.instances)
    return _Task(predictions, expected, given, unclear, names, kind, ways)


def _score(task: _Task, journal: Journal, results: _Results, watch: Watch, workers: int) -> None:
    """Score the cases, each on its own, and note each in the journal at once."""

    def score(case: str) -> tuple[ScoredFiles, list[CaseScore], bool]:
        if case in task.unclear:
            raise LayoutError(task.unclear[case])
        if case not in task.given:
            raise ImageError(
                f"{task.predictions}: has no segmentation of {case}. Predict it first."
            )
        paths = task.given[case], task.expected[case]
        files = ScoredFiles.of(*paths)
        if (earlier := _earlier(journal.done.get(case), files)) is not None:
            return files, earlier, True
        with memory_of(case):
            return files, score_files(case, paths, task.names, task.kind, task.ways), False

    cases = sorted({*task.expected, *task.unclear})
    scored = map_cases(score, cases, workers=workers)
    for case, result in watch.track(scored, "evaluate", len(cases)):
        if isinstance(result, CASE_ERRORS):
            results.failures.append(Failure(case, "evaluate", str(result)))
            continue
        if isinstance(result, SegtttError):
            raise result
        files, scores, known = result
        results.files[case] = files
        results.scores.append(scores)
        if not known:
            content = [one.model_dump(mode="json") for one in scores]
            journal.add(case, {"files": asdict(files), "scores": content})


def _earlier(entry: Any, files: ScoredFiles) -> list[CaseScore] | None:
    """The scores of a journal's entry; None where there is none for these very files."""
    if entry is None or entry["files"] != asdict(files):
        return None
    return [CaseScore.model_validate(one) for one in entry["scores"]]


def _summary(task: _Task, results: _Results, told: Told) -> Summary:
    """The summary by the protocol; others than strict say what strict would have said."""
    scoring = task.ways[0]
    scores = [each[0] for each in results.scores]
    picture = bool(scores) and all(case.picture for case in scores)
    summary = summarise(
        scores, task.names, n_failed=len(results.failures), protocol=scoring.protocol
    )
    if scoring.protocol != "strict":
        strict = summarise([each[-1] for each in results.scores], task.names)
        said = [*remarks(scoring, picture=picture), f"By the strict protocol: {figures(strict)}."]
        summary = _beside(summary, strict).model_copy(update={"remarks": tuple(said)})
    about = {
        "surplus": task.surplus,
        "scoring": scoring,
        "provenance": provenance(scoring, task.names, results.files, picture=picture),
        "models": told.models,
        "seconds_per_case": seconds_per_case(told.seconds, results.files),
    }
    return summary.model_copy(update=about)


def _beside(summary: Summary, strict: Summary) -> Summary:
    """The summary of another protocol with the means of the strict one."""
    labels = (
        one.model_copy(update={"strict": StrictMeans(dice=other.dice.mean, nsd=other.nsd.mean)})
        for one, other in zip(summary.per_label, strict.per_label, strict=True)
    )
    means = StrictMeans(dice=strict.mean_dice, nsd=strict.mean_nsd)
    return summary.model_copy(update={"per_label": tuple(labels), "strict": means})


def _write(out: Path, task: _Task, results: _Results, summary: Summary) -> None:
    scores = [each[0] for each in results.scores]
    if task.names:
        write_text(out / "cases.csv", cases_csv(scores, task.names))
    if summary.cells is not None:
        write_text(out / "cells.csv", cells_csv(scores))
    write_json(out / "files.json", files_json(results.files))
    write_json(out / "failures.json", [asdict(failure) for failure in results.failures])
    if summary.protocol == "nnunet":
        files = {case: (one.prediction.file, one.truth.file) for case, one in results.files.items()}
        write_json(out / "summary_nnunet.json", nnunet_summary(scores, task.names, files))
    write_text(out / "summary.json", summary.dump())
