"""Results found, read and named."""

import pytest

from segttt.commands.scores.results import by_model, load
from segttt.errors import LayoutError, UsageError
from tests.commands.scored import trained, write_results
from tests.metrics.cohorts import case, drawn


def names(*arguments):
    return {
        name: [str(one.folder) for one in seeds]
        for name, seeds in by_model([str(one) for one in arguments]).items()
    }


def test_scores_come_back_to_the_last_digit(tmp_path):
    cases = [case(f"c{i}", [0.1 + i / 7, None], nsd=[1 / 3, None], f1=0.3) for i in range(3)]
    found = load(write_results(tmp_path / "a", cases))
    assert list(found.cases.values()) == cases
    assert found.summary.n_cases == 3


def test_predictions_hold_their_results_in_evaluate(tmp_path):
    write_results(tmp_path / "out" / "evaluate", drawn(1))
    (tmp_path / "out" / "summary.json").write_text("{}")  # of another program
    assert load(tmp_path / "out").place == tmp_path / "out" / "evaluate"


@pytest.mark.parametrize(
    ("folder", "words"),
    [("nowhere", "no such folder"), ("empty", "Make them with `segttt evaluate")],
)
def test_missing_results_say_what_makes_them(folder, words, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=words):
        load(tmp_path / folder)


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.97])
def test_a_cut_table_is_refused(keep, tmp_path):
    table = write_results(tmp_path / "a", drawn(1)) / "cases.csv"
    text = table.read_text()
    table.write_text(text[: int(keep * len(text))])
    with pytest.raises(LayoutError, match="valuate"):
        load(tmp_path / "a")


@pytest.mark.parametrize("content", ["not, a table\n1,2\n", "case,label\nc,1\n", "\0"])
def test_another_table_is_refused(content, tmp_path):
    (write_results(tmp_path / "a", drawn(1)) / "cases.csv").write_text(content)
    with pytest.raises(LayoutError, match="valuate"):
        load(tmp_path / "a")


def test_tables_of_an_earlier_evaluation_are_not_read(tmp_path):
    folder = write_results(tmp_path / "a", drawn(1))
    (folder / "cells.csv").write_text("left from before")
    assert load(folder).cases.keys() == {f"case_{i:02d}" for i in range(20)}


def test_folders_name_models_and_networks_group_seeds(tmp_path):
    a, b = (write_results(tmp_path / x / "out" / "evaluate", drawn(1)) for x in "ab")
    assert names(a, b) == {"a": [str(a)], "b": [str(b)]}
    assert names(a.parent, b.parent) == {"a": [str(a.parent)], "b": [str(b.parent)]}
    assert names(a, f"mine={b}") == {"out": [str(a)], "mine": [str(b)]}
    runs = [
        write_results(tmp_path / f"s{seed}{net}", drawn(1), models=(trained(net, seed),))
        for net in ("nnunet", "ttt")
        for seed in (0, 1)
    ]
    assert {k: len(v) for k, v in names(*runs, a).items()} == {"nnunet": 2, "ttt": 2, "out": 1}
    assert list(names(f"x={runs[0]}", f"y={runs[1]}")) == ["x", "y"]
    assert names(f"x={runs[0]}", f"x={runs[2]}", a)["x"] == [str(runs[0]), str(runs[2])]


def test_a_folder_whose_name_holds_an_equals_sign(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_results(tmp_path / "net+mixer=none", drawn(1))
    write_results(tmp_path / "net", drawn(2))
    assert list(names("net+mixer=none", "net")) == ["net+mixer=none", "net"]
    assert list(names("bare=net+mixer=none", "net")) == ["bare", "net"]


def test_an_ensemble_of_networks_names_all_of_them(tmp_path):
    both = write_results(tmp_path / "a", drawn(1), models=(trained("x", 0), trained("y", 0)))
    one = write_results(tmp_path / "b", drawn(1), models=(trained("x", 1),))
    assert list(names(both, one)) == ["x+y", "x"]


def test_what_is_no_pair_of_seeds_is_refused(tmp_path):
    first, again, wide = (
        write_results(tmp_path / name, drawn(1), models=(facts,))
        for name, facts in (
            ("first", trained("net", 0)),
            ("again", trained("net", 0)),
            ("wide", trained("net", 1, parameters=9)),
        )
    )
    for other in (again, wide):
        with pytest.raises(UsageError, match="not two seeds of it"):
            names(first, other)
    assert len(names(f"A={first}", f"B={again}")) == 2
    for repeated in (first, f"B={first}"):
        with pytest.raises(UsageError, match="named twice"):
            names(f"A={first}", repeated)
    with pytest.raises(UsageError, match=r"one model to compare \(net\)"):
        names(first)
