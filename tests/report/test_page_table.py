"""The columns of the table of cases."""

from segttt.config.report import CaseScore, CellScore, LabelScore
from segttt.report.page_table import cell_columns, columns, table, title

NAMES = {1: "organ", 5: "tumour"}


def score(label, dice, **more):
    return LabelScore(
        label=label, state="ok", tp=1, fp=1, fn=1, n_truth=2, n_prediction=2, dice=dice, iou=0.25,
        **more,
    )  # fmt: skip


CASES = [
    CaseScore(id="a", labels=(score(1, 0.5), score(5, None))),
    CaseScore(id="b", labels=(score(1, 0.25, hd95_mm=3.14159), score(5, 0.75))),
]
MEANS = {"dice": {"a": 0.5, "b": 0.5}}


def test_rows_follow_the_cases_and_columns_the_labels():
    dice, hd95, iou = table(CASES, NAMES, MEANS, flat=False)
    assert (dice["name"], dice["columns"]) == ("Dice", ["Mean", "organ", "tumour"])
    assert dice["rows"] == [[0.5, 0.5, None], [0.5, 0.25, 0.75]]
    assert hd95["name"] == "HD95 (mm)"
    assert hd95["rows"] == [[None, None, None], [None, 3.14, None]]
    assert iou["key"] == "iou"


def test_a_single_label_needs_no_mean():
    (dice, *_) = table(CASES, {1: "organ"}, MEANS, flat=True)
    assert dice["columns"] == ["organ"]
    assert columns(CASES, {5: "tumour"}, "dice") == {"tumour": {"b": 0.75}}


def test_cells_come_first_with_their_counts():
    cells = CellScore(
        threshold=0.5, n_truth=4, n_prediction=3, tp=2, precision=2 / 3, recall=0.5, f1=4 / 7,
        pq=0.4,
    )  # fmt: skip
    case = CaseScore(id="a", labels=(), cells=cells)
    (found,) = table([case], {}, {}, flat=True)
    assert found["columns"] == ["F1", "Precision", "Recall", "PQ", "True", "Found", "Matched"]
    assert found["rows"] == [[0.571, 0.667, 0.5, 0.4, 4, 3, 2]]
    assert cell_columns([case])["Recall"] == {"a": 0.5}


def test_units_are_named():
    assert title("hd95_mm", "HD95", flat=True) == "HD95 (px)"
    assert title("volume_error_ml", "Volume error", flat=False) == "Volume error (ml)"
    assert title("dice", "Dice", flat=False) == "Dice"
