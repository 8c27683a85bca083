"""Folders of segmentations scored from the command line, by every protocol."""

import csv
import hashlib
import json

import imageio.v3 as imageio
import numpy as np
import pytest

from segttt.cli.app import run
from segttt.commands import evaluate as evaluating
from segttt.preprocessing.instances import interior_and_boundary
from tests.metrics import test_protocols
from tests.pipeline.conftest import write_volume

SPACING_XYZ = (1.5, 1.5, 3.0)


def organ(z0, z1, shape=(12, 16, 16)):
    values = np.zeros(shape, np.uint8)
    values[z0:z1, 3:12, 3:12] = 1
    return values


@pytest.fixture
def volumes(tmp_path):
    """Two cases; the second prediction misses a slice and invents label 2."""
    for name, true, found in (("a", (2, 8), (2, 8)), ("b", (2, 8), (2, 7))):
        truth, prediction = organ(*true), organ(*found)
        if name == "b":
            prediction[10, 0:2, 0:2] = 2
        write_volume(tmp_path / "truth" / f"{name}.nii.gz", truth, SPACING_XYZ)
        write_volume(tmp_path / "found" / f"{name}.nii.gz", prediction, SPACING_XYZ)
    return tmp_path


def summary(folder):
    return json.loads((folder / "found" / "evaluate" / "summary.json").read_text())


def table(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def evaluate(folder, *options):
    return run(["evaluate", str(folder / "found"), str(folder / "truth"), *options])


def test_surfaces_are_scored_beside_the_overlap(volumes, capsys):
    assert evaluate(volumes, "--labels", "1=organ,2=lesion", "--tolerance", "3") == 0
    told = summary(volumes)
    organ_, lesion = told["per_label"]
    assert organ_["nsd"]["mean"] == 1.0
    assert organ_["tolerance_mm"] == 3.0
    assert organ_["hd95_mm"]["mean"] == pytest.approx(1.5)
    assert organ_["volume_error_ml"]["min"] == pytest.approx(-81 * 6.75 / 1000)
    assert (lesion["n_truth_empty"], lesion["n_both_empty"]) == (1, 1)
    printed = capsys.readouterr().out
    assert "HD95" in printed
    assert "ASSD" in printed
    rows = (volumes / "found" / "evaluate" / "cases.csv").read_text().splitlines()
    assert len(rows) == 5
    assert ",nsd,tolerance_mm,hd95_mm,assd_mm,volume_error_ml," in rows[0]


def test_other_protocols_say_what_strict_would_have_said(volumes, capsys):
    assert evaluate(volumes, "--labels", "1=organ,2=lesion", "--protocol", "paper") == 0
    told = summary(volumes)
    assert told["protocol"] == "paper"
    assert told["per_label"][1]["dice"]["mean"] == 0.5  # absent from both: 1, invented: 0
    assert any("By the strict protocol: mean Dice" in remark for remark in told["remarks"])
    assert told["per_label"][1]["strict"] == {"dice": 0.0, "nsd": 0.0}
    assert told["strict"]["dice"] < told["mean_dice"]
    printed = capsys.readouterr()
    assert "By the strict protocol" in printed.err
    assert "Strict Dice" in printed.out


def test_the_nnunet_protocol_writes_its_summary(volumes):
    assert evaluate(volumes, "--labels", "1=organ,2=lesion", "--protocol", "nnunet") == 0
    theirs = json.loads((volumes / "found" / "evaluate" / "summary_nnunet.json").read_text())
    assert theirs["mean"]["2"]["Dice"] == 0
    assert theirs["metric_per_case"][0]["metrics"]["2"]["Dice"] is None
    one = theirs["metric_per_case"][1]["metrics"]["1"]
    assert (one["TP"], one["FN"], one["FP"]) == (405, 81, 0)
    assert one["TP"] + one["FN"] + one["FP"] + one["TN"] == 12 * 16 * 16
    first = theirs["mean"]["1"]["Dice"]
    assert theirs["foreground_mean"]["Dice"] == pytest.approx((first + 0) / 2)
    assert summary(volumes)["mean_dice"] == pytest.approx((first + 0) / 2)


def test_labels_and_tolerances_of_a_preset(volumes):
    assert evaluate(volumes, "--preset", "flare22", "--protocol", "flare22") == 0
    told = summary(volumes)
    assert [label["name"] for label in told["per_label"]][:2] == ["liver", "right_kidney"]
    assert told["per_label"][0]["tolerance_mm"] == 5
    assert any("last but one true slice" in remark for remark in told["remarks"])
    assert evaluate(volumes, "--protocol", "mine") == 2


def test_a_tolerance_of_nothing_is_meant(volumes):
    assert evaluate(volumes, "--labels", "1=organ", "--tolerance", "0") == 0
    found = summary(volumes)["per_label"][0]
    assert found["tolerance_mm"] == 0
    assert 0 < found["nsd"]["min"] < 1


def test_lesions_are_counted_on_request(volumes, capsys):
    options = ("--labels", "1=organ,2=lesion", "--lesions")
    assert evaluate(volumes, *options, "any") == 0
    told = summary(volumes)
    assert told["scoring"]["lesions"] == {
        "connectivity": "corners", "iou": None, "smallest_mm3": 0
    }  # fmt: skip
    organ_, lesion = (label["lesions"]["total"] for label in told["per_label"])
    assert (organ_["n_truth"], organ_["found"], organ_["false"], organ_["f1"]) == (2, 2, 0, 1)
    assert (lesion["false"], lesion["sensitivity"], lesion["precision"]) == (1, None, 0)
    assert told["per_label"][1]["lesions"]["false_per_case"] == 0.5
    rows = table(volumes / "found/evaluate/cases.csv")
    assert [row["lesions_found"] for row in rows] == ["1", "0", "1", "0"]
    assert [row["lesions_false"] for row in rows] == ["0", "0", "0", "1"]
    assert "Lesions over all cases" in capsys.readouterr().out
    assert evaluate(volumes, *options, "iou=0.9,volume=28,faces") == 0
    strict = summary(volumes)["per_label"]
    assert strict[0]["lesions"]["total"]["found"] == 1
    assert strict[1]["lesions"]["total"]["n_prediction"] == 0  # 4 voxels of 6.75 mm³
    assert evaluate(volumes, *options[:2]) == 0
    assert summary(volumes)["per_label"][0]["lesions"] is None
    assert "lesion" not in (volumes / "found/evaluate/cases.csv").read_text().splitlines()[0]


@pytest.mark.parametrize(
    "wish",
    ["--lesions=some", "--lesions=iou=0", "--lesions=volume=-1", "--lesions=iou=x",
     "--iou=0", "--iou=1.5", "--iou=half"],
)  # fmt: skip
def test_impossible_wishes(volumes, wish, capsys):
    assert evaluate(volumes, wish) == 2
    assert wish.partition("=")[0] in capsys.readouterr().err


def contents(folder):
    """Every result by name, as bytes."""
    found = sorted((folder / "found/evaluate").glob("[!.]*"))
    return {path.name: path.read_bytes() for path in found}


def test_the_summary_says_what_made_it(volumes):
    assert evaluate(volumes, "--labels", "1=organ", "--tolerance", "2") == 0
    told, files = summary(volumes), json.loads(contents(volumes)["files.json"])
    source = told["provenance"]
    assert (source["definitions"], source["spacing"]) == ("segttt-scores-1", "true label maps")
    assert source["tolerances_mm"] == {"1": 2.0}
    assert {"segttt", "python", "numpy", "scipy"} <= set(source)
    assert source["files_sha256"] == files["sha256"]
    scored = files["cases"]["b"]["prediction"]
    content = (volumes / "found" / "b.nii.gz").read_bytes()
    assert scored == {"file": "b.nii.gz", "sha256": hashlib.sha256(content).hexdigest()}
    assert not any(str(volumes).encode() in content for content in contents(volumes).values())


def test_evaluated_again_every_byte_is_the_same(volumes):
    assert evaluate(volumes) == 0
    first = contents(volumes)
    assert set(first) == {"cases.csv", "failures.json", "files.json", "summary.json"}
    assert evaluate(volumes, "--workers", "2") == 0
    assert contents(volumes) == first


def killed_after(cases, monkeypatch):
    """Stop the next evaluation when it wants to score one case more; count what it scores."""
    scored = []
    score_files = evaluating.score_files

    def score(case, *rest):
        if len(scored) == cases:
            raise KeyboardInterrupt
        scored.append(case)
        return score_files(case, *rest)

    monkeypatch.setattr(evaluating, "score_files", score)
    return scored


def test_a_killed_evaluation_goes_on(volumes, monkeypatch):
    assert evaluate(volumes) == 0
    whole = contents(volumes)
    with monkeypatch.context() as patch:
        killed_after(1, patch)
        assert evaluate(volumes, "--workers", "1") == 130
    journal = volumes / "found/evaluate/journal.jsonl"
    journal.write_bytes(journal.read_bytes() + b'["b", {"files": {')  # a kill amid a write
    with monkeypatch.context() as patch:
        scored = killed_after(9, patch)
        assert evaluate(volumes, "--workers", "1") == 0
        assert scored == ["b"]
    assert contents(volumes) == whole


@pytest.mark.parametrize("change", ["file", "rules"])
def test_what_has_changed_since_the_kill_is_scored_again(volumes, change, monkeypatch):
    options = ("--workers", "1", "--labels", "1=organ")
    with monkeypatch.context() as patch:
        killed_after(1, patch)
        assert evaluate(volumes, *options) == 130
    if change == "file":
        write_volume(volumes / "found" / "a.nii.gz", organ(3, 8), SPACING_XYZ)
    else:
        options += ("--tolerance", "9")
    with monkeypatch.context() as patch:
        scored = killed_after(9, patch)
        assert evaluate(volumes, *options) == 0
        assert scored == ["a", "b"]
    resumed = contents(volumes)
    assert evaluate(volumes, *options) == 0
    assert contents(volumes) == resumed


@pytest.fixture
def cells(tmp_path):
    """Discs as numbered objects, and the classes that a perfect network would predict."""
    y, x = np.mgrid[:96, :96]
    numbered = np.zeros((96, 96), np.int32)
    for number, (cy, cx, r) in enumerate([(20, 20, 9), (20, 60, 7), (60, 25, 12), (70, 70, 10)], 1):
        numbered[(y - cy) ** 2 + (x - cx) ** 2 < r**2] = number
    for folder, content in (
        ("truth", numbered),
        ("found", interior_and_boundary(numbered[None])[0]),
    ):
        (tmp_path / folder).mkdir()
        imageio.imwrite(tmp_path / folder / "one.png", content.astype(np.uint8))
    manifest = {"labels": {"1": "interior", "2": "boundary"}, "instances": True}
    (tmp_path / "found" / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path


def test_cells_are_decoded_and_matched(cells, capsys):
    assert evaluate(cells) == 0
    told = summary(cells)
    assert told["cells"]["f1"]["mean"] == 1.0
    assert (told["cells"]["n_truth"], told["cells"]["tp"]) == (4, 4)
    assert [label["dice"]["mean"] for label in told["per_label"]] == [1.0, 1.0]
    assert "F1 at IoU 0.5" in capsys.readouterr().out
    assert (cells / "found" / "evaluate" / "cells.csv").read_text().startswith("case,threshold")


def test_cells_at_several_overlaps(cells, capsys):
    assert evaluate(cells, "--iou", "0.5,0.9") == 0
    told = summary(cells)
    assert [told["cells"]["threshold"], told["more_cells"][0]["threshold"]] == [0.5, 0.9]
    assert (told["cells"]["f1"]["mean"], told["more_cells"][0]["tp"]) == (1.0, 4)
    rows = table(cells / "found/evaluate/cells.csv")
    assert [row["threshold"] for row in rows] == ["0.5", "0.9"]
    assert "F1 at IoU 0.9" in capsys.readouterr().out


def test_pictures_by_the_papers_protocol(cells, capsys):
    """Told apart from volumes, and the foreground's Dice as compute_cell_metric.py has it."""
    truth, classes = test_protocols.nuclei()
    imageio.imwrite(cells / "truth" / "one.png", truth.astype(np.uint8))
    imageio.imwrite(cells / "found" / "one.png", classes)
    assert evaluate(cells, "--protocol", "paper", "--iou", "0.5,0.4") == 0
    (row, other) = table(cells / "found/evaluate/cells.csv")
    names = ("n_truth", "n_prediction", "tp", "precision", "recall", "f1", "dice")
    assert [float(row[name]) for name in names] == [4, 6, 3, 0.5, 0.75, 0.6, 0.6822]
    assert [float(other[name]) for name in names] == [4, 6, 3, 0.5, 0.75, 0.6, 0.6822]
    assert summary(cells)["provenance"]["spacing"] == "pixels"


def test_the_papers_decoding_is_kept_apart(cells):
    assert evaluate(cells, "--protocol", "paper") == 0
    theirs = summary(cells)["cells"]
    assert theirs["f1"]["mean"] <= 1.0
    assert theirs["pq"]["mean"] < 0.9  # the boundary is thrown away


def test_numbered_objects_of_any_program(cells):
    (cells / "found" / "manifest.json").unlink()
    (cells / "found" / "one.png").write_bytes((cells / "truth" / "one.png").read_bytes())
    assert evaluate(cells, "--instances") == 0
    told = summary(cells)
    assert told["cells"]["pq"]["mean"] == 1.0
    assert told["per_label"] == []
