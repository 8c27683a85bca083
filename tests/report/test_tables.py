"""Tables and CSV by hand."""

import csv
from io import StringIO

import numpy as np

from segttt.metrics.overlap import score_case
from segttt.metrics.summary import summarise
from segttt.report.tables import case_table, cases_csv, label_table, overall_table, shortened

NAMES = {1: "liver", 2: 'left "big" kidney, cortex'}


def case(name, truth, prediction):
    as_volume = [np.array(values, np.uint8).reshape(1, 1, -1) for values in (truth, prediction)]
    return score_case(name, *as_volume, list(NAMES))


CASES = [case("a", (1, 1, 0), (1, 1, 0)), case("b", (1, 1, 2), (1, 0, 9))]


def test_label_table_by_hand():
    table = label_table(summarise(CASES, NAMES))
    assert all(len(row) == len(table.header) for row in table.rows)
    first, second, last = (dict(zip(table.header, row, strict=True)) for row in table.rows)
    assert (first["Label"], first["Cases"], first["Dice"]) == ("liver", "2", "0.833")
    assert (first["Min"], first["Worst"]) == ("0.667", "b")
    assert (first["SD"], first["IoU"]) == ("0.236", "0.750")
    assert (second["Cases"], second["Dice"], second["SD"]) == ("1", "0.000", "–")
    assert (last["Label"], last["Dice"], last["SD"]) == ("Mean", "0.667", "0.471")
    assert (last["Min"], last["Worst"]) == ("0.333", "b")


def test_empty_labels_have_columns_only_where_there_are_any():
    mixed = label_table(summarise(CASES, NAMES))
    assert mixed.header[6:] == ["Missed", "Worst"]
    assert [row[6] for row in mixed.rows] == ["0", "1", "1"]
    odd = label_table(
        summarise([case("d", (0, 2, 1), (0, 0, 0)), case("e", (0, 0), (1, 0))], NAMES)
    )
    assert odd.header[6:8] == ["Invented", "Missed"]
    assert [row[6:8] for row in odd.rows] == [["1", "1"], ["0", "1"], ["1", "2"]]
    full = case("c", (1, 2), (1, 2))
    assert label_table(summarise([full], NAMES)).header[6:] == ["Worst"]


def test_overall_table_names_each_deviation_and_undeclared_values():
    rows = {row[0]: row[1:] for row in overall_table(summarise(CASES, NAMES, n_failed=3)).rows}
    assert rows["SD over cases"][0] == "0.471"
    assert rows["SD over labels"][0] == "0.589"
    assert (rows["Cases"][0], rows["Failed"][0]) == ("2", "3")
    assert rows["Undeclared"][0] == "9"


def test_case_table_by_hand():
    table = case_table(CASES, NAMES)
    assert table.header == ["Case", *NAMES.values()]
    assert table.rows == [["a", "1.000", "–"], ["b", "0.667", "0.000"]]


def test_csv_by_hand():
    text = cases_csv(CASES, NAMES)
    lines = list(csv.reader(StringIO(text)))
    assert text.splitlines()[0] == (
        "case,label,name,state,dice,iou,nsd,tolerance_mm,hd95_mm,assd_mm,volume_error_ml,"
        "tp,fp,fn,n_truth,n_prediction"
    )
    assert lines[1] == ["a", "1", "liver", "ok", "1.0", "1.0", *[""] * 5, "2", "0", "0", "2", "2"]
    assert lines[2] == ["a", "2", NAMES[2], "both_empty", "", "", *[""] * 5, *["0"] * 5]
    assert float(lines[3][4]) == 2 / 3  # full precision
    assert len(lines) == 5


def test_nothing_scored_still_makes_tables():
    summary = summarise([], NAMES)
    assert [row[2] for row in label_table(summary).rows] == ["–", "–", "–"]
    assert overall_table(summary).rows[0][1] == "–"
    assert case_table([], NAMES).rows == []


def test_long_case_ids_are_shortened_in_tables_only():
    long = "f" * 64
    assert shortened(long) == "f" * 19 + "…"
    assert shortened("hippocampus_008") == "hippocampus_008"
    score = case(long, (1, 2), (1, 0))
    assert label_table(summarise([score], NAMES)).rows[0][-1] == "f" * 19 + "…"
    assert long in cases_csv([score], NAMES)
