"""The scores of a result read back, in the order and the shapes in which a report shows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segttt.config.report import CaseScore, Summary
from segttt.errors import UsageError
from segttt.metrics.summary import case_mean
from segttt.report.page_plots import Distribution, distribution
from segttt.report.page_table import METRICS, cell_columns, columns, table, title
from segttt.report.tables import read_cases_csv, read_cells_csv


@dataclass(frozen=True)
class Scores:
    """All cases of one evaluation."""

    summary: Summary
    cases: Sequence[CaseScore]
    """Lowest value first; those without a value last."""

    @property
    def names(self) -> dict[int, str]:
        """Value in the label maps -> name."""
        return {label.label: label.name for label in self.summary.per_label}


def value(case: CaseScore) -> float | None:
    """What a case is ranked by: the F1 of its cells, or its mean Dice."""
    return case.cells.f1 if case.cells is not None else case_mean(case, "dice")


def read_scores(folder: Path) -> Scores:
    """The files that evaluate wrote; a `UsageError` names the one that is missing or damaged."""
    summary = Summary.load(folder / "summary.json")
    cases: dict[str, CaseScore] = {}
    path = folder / "cases.csv"
    try:
        if summary.per_label:
            cases = {case.id: case for case in read_cases_csv(path.read_text(encoding="utf-8"))}
        if summary.cells:
            path = folder / "cells.csv"
            for case, cells in read_cells_csv(path.read_text(encoding="utf-8")).items():
                plain = cases.get(case, CaseScore(id=case, labels=()))
                cases[case] = plain.model_copy(update={"cells": cells})
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}). Evaluate again.") from error
    except ValueError as error:
        raise UsageError(f"{path}: is no table of scores. Evaluate again.") from error
    return Scores(summary, sorted(cases.values(), key=_rank))


def _rank(case: CaseScore) -> tuple[bool, float, str]:
    found = value(case)
    return found is None, found or 0.0, case.id


def distributions(scores: Scores, *, flat: bool) -> list[Distribution]:
    """A distribution of every score that has values; IoU is left out, since Dice orders alike."""
    found = [distribution("cells", "Cells", cell_columns(scores.cases), share=True)]
    for key, name, _, share in METRICS:
        if key != "iou":
            values = columns(scores.cases, scores.names, key)
            found.append(distribution(key, title(key, name, flat=flat), values, share=share))
    return [one for one in found if one is not None]


def tables(scores: Scores, *, flat: bool) -> list[dict[str, Any]]:
    """The table of cases, one per score."""
    means: dict[str, Mapping[str, float | None]] = {
        key: {case.id: case_mean(case, key) for case in scores.cases} for key, *_ in METRICS
    }
    return table(scores.cases, scores.names, means, flat=flat)
