"""Scores as tables of text and as CSV."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO

from segttt.config.report import CaseScore, CellScore, CellSummary, LabelSummary, Summary

COLUMNS = (
    *("case", "label", "name", "state", "dice", "iou"),
    *("nsd", "tolerance_mm", "hd95_mm", "assd_mm", "volume_error_ml"),
    *("tp", "fp", "fn", "n_truth", "n_prediction"),
)


DASH = "–"


LONGEST_ID = 20


@dataclass(frozen=True)
class Table:
    """A heading and rows of text, all of one width."""

    header: list[str]
    rows: list[list[str]]


def label_table(summary: Summary) -> Table:
    """One row per label, and a last row with the mean over cases; a dash where there is no value.

    The deviation beside a label is over cases. A case counts under a label that its truth or its
    prediction has; where one of the two lacks it, in some case, a column says how often.
    """
    labels = summary.per_label
    header = ["Label", "Cases", "Dice", "SD", "Min", "IoU"]
    rows = [*map(_label_row, labels), _mean_row(summary)]
    if any(label.nsd.n for label in labels):
        header += ["NSD", "at", "HD95", "ASSD"]
        surfaces = [*map(_surface_cells, labels), _mean_surface_cells(summary)]
        rows = [[*row, *cells] for row, cells in zip(rows, surfaces, strict=True)]
    empty = {
        "Invented": [label.n_truth_empty for label in labels],
        "Missed": [label.n_prediction_empty for label in labels],
    }
    for name, counts in empty.items():
        if any(counts):
            header.append(name)
            rows = [[*row, str(n)] for row, n in zip(rows, [*counts, sum(counts)], strict=True)]
    worst = [*(label.worst for label in labels), summary.worst]
    rows = [
        [*row, shortened(cases[0].id) if cases else DASH]
        for row, cases in zip(rows, worst, strict=True)
    ]
    return Table([*header, "Worst"], rows)


def overall_table(summary: Summary) -> Table:
    """The figures of the whole summary, one per row, each with what it means."""
    rows = [
        ["Dice", number(summary.mean_dice), "mean over cases of the mean over labels"],
        ["SD over cases", number(summary.sd_cases), "of the cases' mean Dice"],
        ["SD over labels", number(summary.sd_labels), "of the labels' mean Dice"],
        ["IoU", number(summary.mean_iou), "mean over cases of the mean over labels"],
        ["Cases", str(summary.n_cases), "scored"],
        ["Failed", str(summary.n_failed), "cases without a score, in no mean"],
    ]
    rows += [
        ["Undeclared", str(value), f"no label, found in {cases} predictions, scored as background"]
        for value, cases in summary.undeclared.items()
    ]
    return Table(["Figure", "Value", "Meaning"], rows)


def case_table(cases: Sequence[CaseScore], names: Mapping[int, str]) -> Table:
    """Dice of every case (rows) and label (columns)."""
    rows = [
        [case.id, *(number({s.label: s.dice for s in case.labels}.get(label)) for label in names)]
        for case in cases
    ]
    return Table(["Case", *names.values()], rows)


def cases_csv(cases: Sequence[CaseScore], names: Mapping[int, str]) -> str:
    """One line per case and label, in full precision; an empty field where there is no value."""
    text = StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for case in cases:
        for score in case.labels:
            writer.writerow({"case": case.id, "name": names[score.label], **score.model_dump()})
    return text.getvalue()


def cells_csv(cases: Sequence[CaseScore]) -> str:
    """One line per picture of numbered cells, in full precision."""
    text = StringIO()
    writer = csv.DictWriter(text, ("case", *CellScore.model_fields), lineterminator="\n")
    writer.writeheader()
    for case in cases:
        if case.cells is not None:
            writer.writerow({"case": case.id, **case.cells.model_dump()})
    return text.getvalue()


def cell_table(cells: CellSummary) -> Table:
    """One row per figure of the cells."""
    rows = [
        [name, number(one.mean), number(one.median), number(one.sd), number(one.min)]
        for name, one in (
            (f"F1 at IoU {cells.threshold:g}", cells.f1),
            ("Precision", cells.precision),
            ("Recall", cells.recall),
            ("PQ", cells.pq),
        )
    ]
    return Table(["Cells", "Mean", "Median", "SD", "Min"], rows)


def figures(summary: Summary) -> str:
    """The decisive means in a few words."""
    means = (
        ("mean Dice", summary.mean_dice),
        ("mean NSD", summary.mean_nsd),
        ("mean F1", summary.cells.f1.mean if summary.cells else None),
    )
    return ", ".join(f"{name} {one:.4f}" for name, one in means if one is not None) or "no value"


def shortened(case_id: str) -> str:
    """A case id that leaves room for the figures beside it."""
    return case_id if len(case_id) <= LONGEST_ID else f"{case_id[: LONGEST_ID - 1]}…"


def number(score: float | None) -> str:
    """Three decimals, or a dash."""
    return DASH if score is None else f"{score:.3f}"


def _label_row(label: LabelSummary) -> list[str]:
    dice = label.dice
    scores = [dice.mean, dice.sd, dice.min, label.iou.mean]
    return [label.name, str(dice.n), *map(number, scores)]


def _surface_cells(label: LabelSummary) -> list[str]:
    tolerance = DASH if label.tolerance_mm is None else f"{label.tolerance_mm:g}"
    distances = (distance(one.mean) for one in (label.hd95_mm, label.assd_mm))
    return [number(label.nsd.mean), tolerance, *distances]


def _mean_surface_cells(summary: Summary) -> list[str]:
    distances = (distance(one) for one in (summary.mean_hd95_mm, summary.mean_assd_mm))
    return [number(summary.mean_nsd), "", *distances]


def distance(mm: float | None) -> str:
    """Two decimals, or a dash."""
    return DASH if mm is None else f"{mm:.2f}"


def _mean_row(summary: Summary) -> list[str]:
    least = summary.worst[0].dice if summary.worst else None
    scores = [summary.mean_dice, summary.sd_cases, least, summary.mean_iou]
    return ["Mean", str(summary.n_cases), *map(number, scores)]
