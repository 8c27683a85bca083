"""segttt compare from the command line, on folders of results."""

import json

import pytest

from segttt.cli.app import run
from segttt.config.comparison import Comparison
from tests.commands.scored import trained, write_results
from tests.metrics.cohorts import case, drawn

FILES = {"comparison.json", "comparison.md", "comparison.tex", "comparison.html"}


@pytest.fixture
def two(tmp_path):
    write_results(tmp_path / "good", drawn(1, shift=0.05))
    write_results(tmp_path / "plain", drawn(2))
    return tmp_path


def compare(folder, *arguments):
    return run(["compare", *(str(one) for one in arguments), "-o", str(folder / "compare")])


def written(folder):
    def refuse(token):
        raise ValueError(token)

    text = (folder / "compare" / "comparison.json").read_text(encoding="utf-8")
    json.loads(text, parse_constant=refuse)  # NaN and infinity are no JSON
    return Comparison.model_validate_json(text)


def test_four_files_and_a_verdict(two, capsys):
    assert compare(two, two / "good", two / "plain") == 0
    assert {path.name for path in (two / "compare").iterdir()} == FILES
    found = written(two)
    assert [model.name for model in found.models] == ["good", "plain"]
    assert (found.protocol, len(found.cases), found.left_out) == ("strict", 20, {})
    assert found.measures[0].differences[0].p_holm < 0.01
    captured = capsys.readouterr()
    assert "DSC: good is above plain by 0.0" in captured.out
    assert "Ranking by DSC" in captured.out
    assert "One seed only of every model" in captured.err
    assert (found.preset, found.published) == (None, ())


def test_the_same_command_writes_the_same_files(two):
    assert compare(two, two / "good", two / "plain") == 0
    first = {path.name: path.read_bytes() for path in (two / "compare").iterdir()}
    assert compare(two, two / "good", two / "plain") == 0
    assert {path.name: path.read_bytes() for path in (two / "compare").iterdir()} == first


def test_cases_that_some_folder_lacks_are_named(tmp_path, capsys):
    write_results(tmp_path / "a", drawn(1))
    write_results(tmp_path / "b", drawn(2)[2:])
    write_results(tmp_path / "c", drawn(3)[:-1])
    assert compare(tmp_path, *(tmp_path / x for x in "abc")) == 0
    found = written(tmp_path)
    assert len(found.cases) == 17
    assert {case: [path[-1] for path in lacking] for case, lacking in found.left_out.items()} == {
        "case_00": ["b"],
        "case_01": ["b"],
        "case_19": ["c"],
    }
    told = " ".join(capsys.readouterr().err.split())
    assert "3 in all: case_00 (not in" in told
    assert all(one.n == 17 for one in found.measures[0].differences)


def test_many_left_out_cases_are_counted(tmp_path, capsys):
    write_results(tmp_path / "a", drawn(1))
    write_results(tmp_path / "b", drawn(2)[:6])
    assert compare(tmp_path, tmp_path / "a", tmp_path / "b") == 0
    assert "14 in all:" in capsys.readouterr().err
    assert written(tmp_path).notes[0].endswith("and 4 more.")


def test_few_cases_have_figures_and_a_sentence(tmp_path, capsys):
    write_results(tmp_path / "a", drawn(1, n=5))
    write_results(tmp_path / "b", drawn(2, n=5))
    assert compare(tmp_path, tmp_path / "a", tmp_path / "b") == 0
    assert "Only 5 cases are common" in capsys.readouterr().err
    one = written(tmp_path).measures[0].differences[0]
    assert (one.ci95, one.p_value, one.n) == (None, None, 5)


def test_seeds_cost_and_published_rows(tmp_path, capsys):
    names = {1: "Liver", 2: "left kidney"}
    for network, size in (("ttt-unet-bot", 100), ("nnunet", 50)):
        for seed in (0, 1, 2):
            facts = trained(
                network, seed, parameters=size, preset="flare22",
                training_seconds=60.0 * (seed + 1), training_peak_bytes=2**30 * (seed + 1),
            )  # fmt: skip
            cases = drawn(size + seed)
            write_results(
                tmp_path / f"{network}{seed}", cases, names, models=(facts,),
                seconds_per_case=seed + 0.5,
            )  # fmt: skip
    folders = sorted(path for path in tmp_path.iterdir())
    assert compare(tmp_path, *folders) == 0
    found = written(tmp_path)
    nnunet, ttt = found.models
    assert (nnunet.name, len(nnunet.folders), ttt.parameters) == ("nnunet", 3, 100)
    assert (ttt.training_seconds, ttt.training_peak_bytes) == (120, 3 * 2**30)
    assert ttt.seconds_per_case == 1.5
    assert found.preset == "flare22"
    assert len(found.published) == 14
    assert found.notes == ()
    printed = capsys.readouterr().out
    assert "Published: TTT-UNet (arXiv 2409.11299), Table 4" in printed
    assert "0.8709 ± 0.1011" in printed
    page = (tmp_path / "compare" / "comparison.md").read_text()
    assert "carried over rather than trained anew (inferred)" in page


def test_published_figures_of_other_labels_are_only_shown_when_asked_for(two, tmp_path):
    for name in ("x", "y"):
        facts = trained(name, 0, preset="flare22")
        write_results(tmp_path / name, drawn(3), {1: "a", 2: "b"}, models=(facts,))
    assert compare(two, tmp_path / "x", tmp_path / "y") == 0
    assert written(two).published == ()
    assert compare(two, tmp_path / "x", tmp_path / "y", "--preset", "flare22") == 0
    assert len(written(two).published) == 14


def test_cells(tmp_path, capsys):
    for name, shift in (("a", 0.2), ("b", 0.0)):
        pictures = [case(f"p{i}", [], f1=0.4 + shift + i / 50) for i in range(8)]
        write_results(tmp_path / name, pictures, {})
    assert compare(tmp_path, tmp_path / "a", tmp_path / "b", "-p", "neurips-cell") == 0
    printed = capsys.readouterr().out
    assert "F1: a is above b by 0.2000" in printed
    assert "0.5818 ± 0.2410" in printed
    assert [one.metric for one in written(tmp_path).measures] == ["f1"]


def test_json_and_dry_run(two, capsys):
    assert compare(two, two / "good", two / "plain", "--dry-run") == 0
    assert "20 common cases, tables in" in capsys.readouterr().out
    assert compare(two, two / "good", two / "plain", "--dry-run", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["models"] == {name: [str(two / name)] for name in ("good", "plain")}
    assert not (two / "compare").exists()
    assert compare(two, two / "good", two / "plain", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert Comparison.model_validate(told["comparison"]) == written(two)


@pytest.mark.parametrize(
    ("prepare", "code", "words"),
    [
        (lambda folder: {"cases": drawn(1), "protocol": "paper"}, 2, "by the protocol paper"),
        (lambda folder: {"cases": drawn(1), "names": {1: "a", 2: "b"}}, 2, "other labels"),
        (lambda folder: {"cases": [case("case_00", [0.1, 0.1], n_truth=9)]}, 3, "different truths"),
        (lambda folder: {"cases": [case("other", [0.1, 0.1])]}, 2, "No case is in all"),
    ],
)
def test_what_does_not_compare_is_refused(prepare, code, words, two, capsys):
    other = write_results(two / "other", **prepare(two))
    assert compare(two, two / "good", other) == code
    told = capsys.readouterr().err
    assert words in " ".join(told.split())
    assert not (two / "compare").exists()


def test_other_refusals(two, capsys):
    assert compare(two, two / "good", two / "nowhere") == 2
    assert "no such folder" in capsys.readouterr().err
    assert compare(two, two / "good", two / "plain", "--preset", "laptop") == 2
    assert "has no published figures" in capsys.readouterr().err
    (two / "good" / "cases.csv").write_text("nothing")
    assert compare(two, two / "good", two / "plain") == 3


def test_hostile_names_of_cases_and_models(tmp_path):
    hostile = '<img src=x onerror=alert(1)> & 50% a_b "q" | $x$'
    cases = [one.model_copy(update={"id": f"{hostile}{one.id}"}) for one in drawn(1)]
    write_results(tmp_path / "a", cases)
    write_results(tmp_path / "b", cases[1:])
    assert compare(tmp_path, f"<b>%_{{={tmp_path / 'a'}", tmp_path / "b") == 0
    page = (tmp_path / "compare" / "comparison.html").read_text()
    assert "<img" not in page
    assert "<b>" not in page
    assert "&lt;img src=x" in page
    assert written(tmp_path).models[0].name == "<b>%_{"


def test_the_nnunet_protocol_says_how_it_differs(tmp_path, capsys):
    for name in "ab":
        write_results(tmp_path / name, drawn(1), protocol="nnunet")
    assert compare(tmp_path, tmp_path / "a", tmp_path / "b") == 0
    assert "averages over cases before labels" in capsys.readouterr().err
