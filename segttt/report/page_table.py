"""The scores of all cases as columns, for the table of a page that sorts and filters."""

from collections.abc import Mapping, Sequence
from typing import Any

from segttt.config.report import CaseScore, CellScore

METRICS = (
    ("dice", "Dice", 3, True),
    ("nsd", "NSD", 3, True),
    ("hd95_mm", "HD95", 2, False),
    ("assd_mm", "ASSD", 2, False),
    ("volume_error_ml", "Volume error", 2, False),
    ("iou", "IoU", 3, True),
)
"""Field of a label's score, name, decimals, whether it is a share."""
CELLS = (("f1", "F1"), ("precision", "Precision"), ("recall", "Recall"), ("pq", "PQ"))
COUNTS = (("n_truth", "True"), ("n_prediction", "Found"), ("tp", "Matched"))

Column = dict[str, float]
"""Case -> score, where it has one."""


def title(key: str, name: str, *, flat: bool) -> str:
    """Name of a metric with its unit; lengths in pictures are pixels."""
    unit = {"_mm": "px" if flat else "mm", "_ml": "ml"}.get(key[-3:])
    return f"{name} ({unit})" if unit else name


def columns(cases: Sequence[CaseScore], names: Mapping[int, str], key: str) -> dict[str, Column]:
    """One metric as label -> case -> score; labels without any score have an empty column."""
    found: dict[str, Column] = {name: {} for name in names.values()}
    for case in cases:
        for score in case.labels:
            value = getattr(score, key)
            if value is not None and score.label in names:
                found[names[score.label]][case.id] = value
    return found


def cell_columns(cases: Sequence[CaseScore]) -> dict[str, Column]:
    """The shares of the cells as name -> case -> score."""
    cells = {case.id: case.cells for case in cases if case.cells is not None}
    return {name: _of(cells, key) for key, name in CELLS}


def table(
    cases: Sequence[CaseScore],
    names: Mapping[int, str],
    means: Mapping[str, Mapping[str, float | None]],
    *,
    flat: bool,
) -> list[dict[str, Any]]:
    """Tables as JSON, one per metric that has a value: `key`, `name`, `digits`, `columns`, `rows`.

    `rows` follow `cases`; a row holds a number or None per column. `means` gives, per metric, the
    mean of each case.
    """
    ids = [case.id for case in cases]
    tables = []
    cells = {case.id: case.cells for case in cases if case.cells is not None}
    if cells:
        shown = {name: _of(cells, key) for key, name in (*CELLS, *COUNTS)}
        tables.append(_table("cells", "Cells", 3, shown, ids))
    for key, name, digits, _ in METRICS:
        by_label = columns(cases, names, key)
        if any(by_label.values()):
            mean = {case: v for case, v in means.get(key, {}).items() if v is not None}
            shown = {"Mean": mean, **by_label} if len(by_label) > 1 else by_label
            tables.append(_table(key, title(key, name, flat=flat), digits, shown, ids))
    return tables


def _of(cells: Mapping[str, CellScore], key: str) -> Column:
    values = {case: getattr(one, key) for case, one in cells.items()}
    return {case: float(value) for case, value in values.items() if value is not None}


def _table(
    key: str, name: str, digits: int, shown: Mapping[str, Column], ids: Sequence[str]
) -> dict[str, Any]:
    rows = [
        [None if (v := column.get(case)) is None else round(v, digits) for column in shown.values()]
        for case in ids
    ]
    return {"key": key, "name": name, "digits": digits, "columns": list(shown), "rows": rows}
