"""The tables and sentences of a comparison by hand."""

import pytest

from segttt.config.comparison import Difference
from segttt.report.comparison import differences, document, findings, interval, p_value, ranking
from tests.report.compared import compared


def difference(**changes):
    fields = {
        "model": "a", "other": "b", "n": 9, "mean": -0.02, "ci95": (-0.03, -0.01),
        "p_value": 0.004, "p_holm": 0.012, "effect_size": -1.5, "wins": 1, "ties": 2, "losses": 6,
    }  # fmt: skip
    return Difference(**{**fields, **changes})


def with_differences(comparison, *found):
    measure = comparison.measures[0].model_copy(update={"differences": found})
    return comparison.model_copy(update={"measures": (measure,)})


def test_differences_are_shown_as_they_are():
    measure = compared(("a", "b")).measures[0].model_copy(update={"differences": (difference(),)})
    sheet = differences([measure])
    assert sheet.title == "Differences in DSC"
    assert dict(zip(sheet.header, sheet.groups[0].rows[0], strict=True)) == {
        "pair": "a – b",
        "difference": "-0.0200",
        "95 % CI": "-0.0300 to -0.0100",
        "p": "0.004",
        "p (Holm)": "0.012",
        "effect": "-1.50",
        "win/tie/loss": "1/2/6",
        "cases": "9",
    }
    assert sheet.intervals == [(-0.03, -0.02, -0.01)]
    assert "after Holm over one test" in sheet.said[0]


def test_what_is_missing_is_a_dash():
    few = difference(ci95=None, p_value=None, p_holm=None, effect_size=None)
    measure = (
        compared(("a", "b")).measures[0].model_copy(update={"differences": (few,), "tests": 0})
    )
    sheet = differences([measure])
    assert sheet.groups[0].rows[0][2:6] == ["–"] * 4
    assert (sheet.intervals, sheet.said) == ([], [])
    assert interval(few) == "–"


@pytest.mark.parametrize(
    ("p", "text"), [(0.0009, "< 0.001"), (0.001, "0.001"), (1.0, "1.000"), (None, "–")]
)
def test_p_values(p, text):
    assert p_value(p) == text


def test_findings_are_told_from_the_higher_side():
    plain = compared(("a", "b"))
    open_pair = difference(model="c", p_holm=0.05)
    assert findings(with_differences(plain, difference(), open_pair)) == [
        "DSC: b is above a by 0.0200 (95 % CI 0.0100 to 0.0300; p = 0.012 after Holm), "
        "better in 6 and worse in 1 of 9 cases.",
        "DSC: no difference is established between c and b.",
    ]
    across = difference(mean=0.02, ci95=(-0.01, 0.05), p_holm=0.0001)
    assert findings(with_differences(plain, across)) == [
        "DSC: a is above b by 0.0200 (95 % CI holds 0; p < 0.001 after Holm), "
        "better in 1 and worse in 6 of 9 cases."
    ]
    many = [difference(model=f"m{i}", p_holm=1.0) for i in range(8)]
    (said,) = findings(with_differences(plain, *many))
    assert said.endswith("m5 and b and 2 pairs more.")
    assert findings(with_differences(plain, difference(p_holm=None))) == []


def test_a_difference_within_the_spread_of_seeds_is_doubted():
    plain = compared(("a", "b"), seeds=2)
    (measure,) = with_differences(plain, difference(mean=0.3, ci95=(0.2, 0.4))).measures

    def told(spread):
        scores = tuple(
            one.model_copy(update={"seed_sd": sd})
            for one, sd in zip(measure.scores, spread, strict=True)
        )
        changed = measure.model_copy(update={"scores": scores})
        return findings(plain.model_copy(update={"measures": (changed,)}))[0]

    # seeds: 2 each, so the error is the root of half the sum of squares
    assert "standard error is 0.2500: other seeds" in told((0.25, 0.25))
    assert "standard error" not in told((0.15, 0.14))
    assert "standard error" not in told((0.9, None))


def test_ranking_shows_the_share_at_each_rank():
    measure = compared(("a", "b", "c")).measures[0]
    sheet = ranking(measure, 10_000)
    assert sheet.header == ["model", "rank", "mean", "mean rank", "rank 1", "rank 2", "rank 3"]
    first = sheet.groups[0].rows[0]
    assert (first[0], first[1], first[4]) == ("a", "1", "100%")
    assert "10,000 bootstrap draws" in sheet.said[0]
    few = ranking(compared(("a", "b"), n=5).measures[0], 10_000)
    assert (few.header, few.said) == (["model", "rank", "mean", "mean rank"], [])


def test_the_document_has_every_table():
    whole = document(compared(("a", "b"), seeds=2))
    assert whole.title == "Comparison of a, b"
    assert whole.said[0] == "12 common cases, protocol strict."
    assert [sheet.title for sheet in whole.sheets] == [
        "Results",
        "Differences in DSC",
        "Ranking by DSC",
        "DSC of every label",
        "Differences in DSC of every label",
    ]
    labels = whole.sheets[-1]
    assert [row[:2] for row in labels.groups[0].rows] == [
        ["a – b", "right_kidney"],
        ["a – b", "<b>&_%"],
    ]
    assert "over 2 tests" in labels.said[0]
    assert all(
        len(row) == len(sheet.header)
        for sheet in whole.sheets
        for group in sheet.groups
        for row in group.rows
    )
