"""Folders of segmentations scored from the command line, by every protocol."""

import json

import imageio.v3 as imageio
import numpy as np
import pytest

from segttt.cli.app import run
from segttt.preprocessing.instances import interior_and_boundary
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
    assert "By the strict protocol" in capsys.readouterr().err


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
