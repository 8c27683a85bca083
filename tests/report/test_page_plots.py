"""Marks of the plots: quartiles, whiskers and curves where they belong."""

import pytest

from segttt.report.page_plots import MOST_CASES, curves, distribution


def strips(values, *, share=False):
    found = distribution("dice", "Dice", values, share=share)
    assert found is not None
    return found


def test_box_and_whiskers_are_tukeys():
    cases = {f"case {i}": float(v) for i, v in enumerate((0, 10, 20, 30, 40, 100))}
    plot = strips({"organ": cases})
    strip = plot.strips[0]
    assert [tick.text for tick in plot.ticks] == ["0", "20", "40", "60", "80", "100"]
    assert strip.quartiles == (12.5, 37.5)
    assert strip.median == 25
    assert strip.middle == 25
    assert strip.whiskers == (0, 40)  # 100 lies beyond 37.5 + 1.5 * 25
    assert [point.at for point in strip.points] == [0, 10, 20, 30, 40, 100]


def test_a_share_ends_at_one_and_begins_near_the_lowest():
    assert strips({"a": {"x": 0.91, "y": 0.97}}, share=True).ticks[-1].text == "1"
    assert float(strips({"a": {"x": 0.91}}, share=True).ticks[0].text) >= 0.85
    assert strips({"a": {"x": 0.2}}, share=True).ticks[0].text == "0"


def test_errors_of_both_signs_have_room_on_both_sides():
    plot = strips({"a": {"x": -3.0, "y": 5.0}})
    assert float(plot.ticks[0].text) <= -3
    assert float(plot.ticks[-1].text) >= 5


def test_equal_values_lie_beside_each_other():
    strip = strips({"a": {f"c{i}": 0.5 for i in range(5)}}).strips[0]
    assert len({point.lane for point in strip.points}) == 5


def test_labels_without_values_have_no_strip():
    assert [one.name for one in strips({"a": {"x": 1.0}, "b": {}}).strips] == ["a"]
    assert distribution("dice", "Dice", {"a": {}}, share=True) is None


def test_of_very_many_cases_the_outliers_are_all_drawn():
    cases = {f"c{i}": 0.8 + (i % 100) / 1000 for i in range(4000)} | {"far": 0.1, "lost": 0.0}
    strip = strips({"a": cases}, share=True).strips[0]
    assert strip.n == 4002
    assert len(strip.points) <= MOST_CASES + 2
    assert {"far", "lost"} <= {point.id for point in strip.points}


RECORDS = [
    {"epoch": 0, "train_loss": 1.0, "val_loss": None, "dice": [0.2, None], "mean_dice": 0.2},
    {"epoch": 1, "train_loss": 0.0, "val_loss": 0.5, "dice": [0.6, 0.4], "mean_dice": 0.5},
    {"epoch": 2, "train_loss": 0.5, "val_loss": 0.25, "dice": [1.0, 0.4], "mean_dice": 0.7},
]


def test_curves_go_through_their_values():
    loss, dice = curves(RECORDS, ["liver", "spleen"])
    assert [line.name for line in loss.lines] == ["training", "validation"]
    assert loss.lines[0].points == "0.0,0.0 500.0,1000.0 1000.0,500.0"
    assert loss.lines[1].points == "500.0,500.0 1000.0,750.0"
    assert [line.name for line in dice.lines] == ["liver", "spleen", "mean"]
    assert [line.last for line in dice.lines] == [1.0, 0.4, 0.7]
    assert dice.lines[0].points == "0.0,800.0 500.0,400.0 1000.0,0.0"
    assert dice.lines[2].colour is None


def test_a_single_epoch_is_a_mark_and_no_record_is_no_panel():
    (panel,) = curves([{"epoch": 3, "train_loss": 2.0}], [])
    assert panel.lines[0].marked is not None
    assert [tick.text for tick in panel.epochs] == ["3"]
    assert curves([], ["liver"]) == ()


def test_long_trainings_are_thinned():
    (panel,) = curves([{"epoch": i, "train_loss": float(i)} for i in range(5000)], [])
    assert len(panel.lines[0].points.split(" ")) <= 400
    assert panel.lines[0].last == pytest.approx(5000, rel=0.01)
