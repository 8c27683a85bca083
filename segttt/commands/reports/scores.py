"""The scores of a result read back, in the order and the shapes in which a report shows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segttt.commands.scores.results import load
from segttt.config.report import CaseScore, Summary
from segttt.metrics.summary import case_mean
from segttt.report.page_plots import Distribution, distribution
from segttt.report.page_table import METRICS, cell_columns, columns, table, title


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
    """What evaluate wrote, as `commands.scores.results.load` reads it, in the order of a report."""
    found = load(folder)
    return Scores(found.summary, sorted(found.cases.values(), key=_rank))


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
