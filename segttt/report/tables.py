"""Scores as tables of text and as CSV."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO

from segttt.config.report import (
    CaseScore,
    CellScore,
    CellSummary,
    LabelScore,
    LabelSummary,
    Statistics,
    Summary,
)
from segttt.config.strict import Strict

COLUMNS = (
    *("case", "label", "name", "state", "dice", "iou"),
    *("nsd", "tolerance_mm", "hd95_mm", "assd_mm", "volume_error_ml"),
    *("tp", "fp", "fn", "n_truth", "n_prediction"),
)
LESION_COLUMNS = {
    "lesions_truth": "n_truth",
    "lesions_prediction": "n_prediction",
    "lesions_found": "found",
    "lesions_missed": "missed",
    "lesions_false": "false",
    "lesion_sensitivity": "sensitivity",
    "lesion_precision": "precision",
    "lesion_f1": "f1",
}
"""Columns of cases.csv where lesions were counted -> fields of `LesionScore`."""
FORMULA = ("=", "+", "-", "@", "'")
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
    prediction has; where the truth, the prediction or both lack it, in some case, a column says how
    often. Other protocols have the means of the strict one beside theirs.
    """
    labels = summary.per_label
    header = ["Label", "Cases", "Dice", "SD", "Min", "IoU"]
    rows = [*map(_label_row, labels), _mean_row(summary)]
    if any(label.nsd.n for label in labels):
        header += ["NSD", "at", "HD95", "ASSD"]
        surfaces = [*map(_surface_cells, labels), _mean_surface_cells(summary)]
        rows = [[*row, *cells] for row, cells in zip(rows, surfaces, strict=True)]
    if strict := [one.strict for one in (*labels, summary) if one.strict]:
        header += ["Strict Dice", "Strict NSD"]
        rows = [
            [*row, number(one.dice), number(one.nsd)] for row, one in zip(rows, strict, strict=True)
        ]
    empty = {
        "Invented": [label.n_truth_empty for label in labels],
        "Missed": [label.n_prediction_empty for label in labels],
        "Absent": [label.n_both_empty for label in labels],
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


def spread_table(summary: Summary) -> Table:
    """How Dice and, where there is one, NSD vary over the cases, and the worst cases by Dice."""
    metrics = ["dice", "nsd"] if any(label.nsd.n for label in summary.per_label) else ["dice"]
    figures = ("median", "quartiles", "95 % CI")
    names = [
        f"{metric} {figure}" for metric in ("Dice", "NSD")[: len(metrics)] for figure in figures
    ]
    rows = [
        [
            label.name,
            *(text for metric in metrics for text in _spread(getattr(label, metric))),
            ", ".join(shortened(case.id) for case in label.worst) or DASH,
        ]
        for label in summary.per_label
    ]
    return Table(["Label", *names, "Worst"], rows)


def lesion_table(summary: Summary) -> Table:
    """Lesions of each label over all cases."""
    rows = [
        [
            label.name,
            *(str(n) for n in (one.total.n_truth, one.total.found, one.total.false)),
            *map(number, (one.total.sensitivity, one.total.precision, one.total.f1)),
            f"{one.false_per_case:.2f}",
            number(one.sensitivity.mean),
        ]
        for label in summary.per_label
        if (one := label.lesions)
    ]
    header = ["Label", "True", "Found", "False", "Sensitivity", "Precision", "F1"]
    return Table([*header, "False per case", "Sensitivity per case"], rows)


def cases_csv(cases: Sequence[CaseScore], names: Mapping[int, str]) -> str:
    """One line per case and label, in full precision; an empty field where there is no value."""
    lesions = any(score.lesions for case in cases for score in case.labels)
    text = StringIO()
    columns = (*COLUMNS, *LESION_COLUMNS) if lesions else COLUMNS
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for case in cases:
        for score in case.labels:
            fields = score.model_dump(exclude={"lesions"})
            if score.lesions:
                fields |= {name: getattr(score.lesions, of) for name, of in LESION_COLUMNS.items()}
            told = {"case": _as_text(case.id), "name": _as_text(names[score.label])}
            writer.writerow({**told, **fields})
    return text.getvalue()


def cells_csv(cases: Sequence[CaseScore]) -> str:
    """One line per picture of numbered cells and IoU, in full precision."""
    text = StringIO()
    writer = csv.DictWriter(text, ("case", *CellScore.model_fields), lineterminator="\n")
    writer.writeheader()
    for case in cases:
        for cells in (case.cells, *case.more_cells):
            if cells is not None:
                writer.writerow({"case": _as_text(case.id), **cells.model_dump()})
    return text.getvalue()


def read_cases_csv(text: str) -> list[CaseScore]:
    """The cases of `cases_csv`; a `ValueError` where the text is not such a table."""
    labels: dict[str, list[LabelScore]] = {}
    for case, fields in _rows(text, LabelScore):
        labels.setdefault(case, []).append(LabelScore.model_validate(fields))
    return [CaseScore(id=case, labels=tuple(scores)) for case, scores in labels.items()]


def read_cells_csv(text: str) -> dict[str, CellScore]:
    """Case -> its first score in `cells_csv`; a `ValueError` where the text is not such a table."""
    scores: dict[str, CellScore] = {}
    for case, fields in _rows(text, CellScore):
        scores.setdefault(case, CellScore.model_validate(fields))
    return scores


def _rows(text: str, kind: type[Strict]) -> Iterator[tuple[str, dict[str, str | None]]]:
    """Case and fields of every line; None where a field is empty."""
    try:
        for row in csv.DictReader(StringIO(text)):
            known = {name: row[name] or None for name in kind.model_fields if name in row}
            yield (row.get("case") or "").removeprefix("'"), known
    except csv.Error as error:
        raise ValueError(str(error)) from error


def _as_text(name: str) -> str:
    """The name as a field that no spreadsheet takes for a formula; `_rows` reads it back."""
    return f"'{name}" if name.startswith(FORMULA) else name


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


def _spread(one: Statistics) -> list[str]:
    """Median, quartiles and confidence interval."""
    quartiles = None if one.q1 is None or one.q3 is None else (one.q1, one.q3)
    ranges = (f"{pair[0]:.3f} – {pair[1]:.3f}" if pair else DASH for pair in (quartiles, one.ci95))
    return [number(one.median), *ranges]


def distance(mm: float | None) -> str:
    """Two decimals, or a dash."""
    return DASH if mm is None else f"{mm:.2f}"


def _mean_row(summary: Summary) -> list[str]:
    least = summary.worst[0].dice if summary.worst else None
    scores = [summary.mean_dice, summary.sd_cases, least, summary.mean_iou]
    return ["Mean", str(summary.n_cases), *map(number, scores)]
