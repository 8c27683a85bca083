"""Tables and CSV by hand."""

import csv
from io import StringIO

import numpy as np

from segttt.config.report import CaseScore, CellScore, StrictMeans
from segttt.metrics.detection import lesion_score
from segttt.metrics.overlap import score_case
from segttt.metrics.summary import summarise
from segttt.report.tables import (
    cases_csv,
    cells_csv,
    label_table,
    lesion_table,
    shortened,
    spread_table,
)

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
    assert mixed.header[6:] == ["Missed", "Absent", "Worst"]
    assert [row[6:8] for row in mixed.rows] == [["0", "0"], ["1", "1"], ["1", "1"]]
    odd = label_table(
        summarise([case("d", (0, 2, 1), (0, 0, 0)), case("e", (0, 0), (1, 0))], NAMES)
    )
    assert odd.header[6:8] == ["Invented", "Missed"]
    assert [row[6:8] for row in odd.rows] == [["1", "1"], ["0", "1"], ["1", "2"]]
    full = case("c", (1, 2), (1, 2))
    assert label_table(summarise([full], NAMES)).header[6:] == ["Worst"]


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


def test_long_case_ids_are_shortened_in_tables_only():
    long = "f" * 64
    assert shortened(long) == "f" * 19 + "…"
    assert shortened("hippocampus_008") == "hippocampus_008"
    score = case(long, (1, 2), (1, 0))
    assert label_table(summarise([score], NAMES)).rows[0][-1] == "f" * 19 + "…"
    assert long in cases_csv([score], NAMES)


def measured(cases, *, nsd=True, lesions=()):
    """The cases with an NSD equal to the Dice, and with lesions (true, predicted, found, false)."""
    for one in cases:
        labels = [
            score.model_copy(
                update={
                    "nsd": score.dice if nsd else None,
                    "lesions": lesion_score(*lesions) if lesions else None,
                }
            )
            for score in one.labels
        ]
        yield one.model_copy(update={"labels": tuple(labels)})


def test_spread_table_by_hand():
    cases = [case(f"c{i}", (1, 1, 0, 0), (1, i % 2, 0, 0)) for i in range(8)]
    table = spread_table(summarise(list(measured(cases)), NAMES))
    first, second = (dict(zip(table.header, row, strict=True)) for row in table.rows)
    assert (first["Dice median"], first["Dice quartiles"]) == ("0.833", "0.667 – 1.000")
    assert first["NSD 95 % CI"] == first["Dice 95 % CI"] != "–"
    low, high = map(float, first["Dice 95 % CI"].split(" – "))
    assert 2 / 3 <= low < 5 / 6 < high <= 1
    assert first["Worst"] == "c0, c2, c4"
    assert [second[name] for name in table.header[1:]] == ["–"] * 7
    plain = spread_table(summarise(cases[:5], NAMES))
    assert plain.header == ["Label", "Dice median", "Dice quartiles", "Dice 95 % CI", "Worst"]
    assert plain.rows[0][3] == "–"  # too few cases


def test_lesion_table_by_hand():
    summary = summarise(list(measured(CASES, lesions=(4, 5, 3, 1))), NAMES)
    assert lesion_table(summary).rows[0] == [
        "liver", "8", "6", "2", "0.750", "0.750", "0.750", "1.00", "0.750"
    ]  # fmt: skip
    assert lesion_table(summarise(CASES, NAMES)).rows == []


def test_lesions_have_columns_of_their_own():
    text = cases_csv(list(measured(CASES, lesions=(4, 5, 3, 1))), NAMES)
    row = next(csv.DictReader(StringIO(text)))
    assert (row["lesions_truth"], row["lesions_missed"], row["lesion_f1"]) == ("4", "1", "0.75")
    assert "lesion" not in cases_csv(CASES, NAMES)


def test_other_protocols_have_the_strict_means_beside_theirs():
    summary = summarise(CASES, NAMES)
    strict = StrictMeans(dice=0.5, nsd=None)
    labels = tuple(one.model_copy(update={"strict": strict}) for one in summary.per_label)
    table = label_table(summary.model_copy(update={"per_label": labels, "strict": strict}))
    place = table.header.index("Strict Dice")
    assert [row[place : place + 2] for row in table.rows] == [["0.500", "–"]] * 3
    assert "Strict Dice" not in label_table(summary).header


def test_cells_have_a_line_for_each_overlap():
    scores = [
        CellScore(threshold=t, n_truth=1, n_prediction=1, tp=1, precision=1, recall=1, f1=1, pq=1)
        for t in (0.5, 0.9)
    ]
    one = CaseScore(id="a", labels=(), cells=scores[0], more_cells=(scores[1],))
    rows = list(csv.DictReader(StringIO(cells_csv([one]))))
    assert [(row["case"], row["threshold"]) for row in rows] == [("a", "0.5"), ("a", "0.9")]
