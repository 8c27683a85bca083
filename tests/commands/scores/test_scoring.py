"""What is wrong with a segmentation is named before anything is scored, and hides no other case."""

import gzip
import json
import struct

import numpy as np
import pytest
import SimpleITK as sitk

from segttt.cli.app import run
from segttt.commands.scores.scoring import Request, Told, scoring_of, told_by
from segttt.errors import LayoutError

SHAPE = (6, 8, 10)


def label_map(dtype=np.uint8):
    values = np.zeros(SHAPE, dtype)
    values[1:5, 2:6, 3:8] = 1
    return values


def image(values=None):
    found = sitk.GetImageFromArray(label_map() if values is None else values)
    found.SetSpacing((1.5, 1.5, 3.0))
    found.SetOrigin((-20.0, 11.0, 5.0))
    return found


def mirrored():
    found = image()
    found.SetDirection((-1, 0, 0, 0, 1, 0, 0, 0, 1))
    return found


def turned():
    found = image()
    found.SetDirection((0, 1, 0, -1, 0, 0, 0, 0, 1))
    return found


def shifted():
    found = image()
    found.SetOrigin((-20.0, 11.0, 6.5))
    return found


def stretched():
    found = image()
    found.SetSpacing((1.5, 1.5, 2.5))
    return found


def with_value(value):
    values = label_map(np.float32)
    values[2, 3, 4] = value
    return image(values)


def coloured():
    found = sitk.Compose([image()] * 3)
    return sitk.Cast(found, sitk.sitkVectorUInt8)


def with_time():
    return sitk.JoinSeries([image(), image()])


def negative():
    values = label_map(np.int16)
    values[0, 0, 0] = -1
    return image(values)


def in_rgb(path):
    """Rewrite a label map of bytes as one of RGB triples (NIfTI's type 128)."""
    content = gzip.decompress(path.read_bytes())
    header, voxels = bytearray(content[:352]), content[352:]
    header[70:74] = struct.pack("<hh", 128, 24)
    path.write_bytes(gzip.compress(bytes(header) + voxels * 3))


BAD = {
    "mirrored": (mirrored, "mirrored or turned, voxels up to 27.00 mm apart"),
    "turned": (turned, "mirrored or turned"),
    "shifted": (shifted, "shifted, voxels up to 1.50 mm apart"),
    "stretched": (stretched, "spacing [2.5, 1.5, 1.5] against [3.0, 1.5, 1.5] mm (z, y, x)"),
    "smaller": (lambda: image()[:-1, :, :], "shape (6, 8, 10) against (6, 8, 9)"),
    "nan": (lambda: with_value(np.nan), "no whole numbers, such as nan"),
    "infinite": (lambda: with_value(np.inf), "values from 0 to inf"),
    "interpolated": (lambda: with_value(0.5), "no whole numbers, such as 0.5"),
    "negative": (negative, "values from -1 to 1"),
    "coloured": (coloured, "label map has one"),
    "with_time": (with_time, "2 channels"),
    "rgb": (image, "holds RGB colours"),
    "cut": (image, "cut"),
    "text": (image, "compressed content is cut or damaged"),
    "empty": (image, "is not a NIfTI file"),
}


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """Everything wrong at once, beside two good cases; reasons by case, scored cases, summary."""
    folder = tmp_path_factory.mktemp("bad")
    for part in ("truth", "found"):
        (folder / part).mkdir()
    for name in ("good", "floats", "missing", *BAD):
        sitk.WriteImage(image(), str(folder / "truth" / f"{name}.nii.gz"))
    for name, make in {"good": image, "floats": lambda: with_value(1), "extra": image}.items():
        sitk.WriteImage(make(), str(folder / "found" / f"{name}.nii.gz"))
    for name, (make, _) in BAD.items():
        sitk.WriteImage(make(), str(folder / "found" / f"{name}.nii.gz"))
    in_rgb(folder / "found" / "rgb.nii.gz")
    cut = folder / "found" / "cut.nii.gz"
    cut.write_bytes(cut.read_bytes()[:-20])
    (folder / "found" / "text.nii.gz").write_bytes(b"\x1f\x8b no volume")
    (folder / "found" / "empty.nii.gz").write_bytes(b"")
    command = ["evaluate", str(folder / "found"), str(folder / "truth"), "--labels", "1=organ"]
    assert run(command) == 4
    out = folder / "found" / "evaluate"
    failures = json.loads((out / "failures.json").read_text())
    rows = (out / "cases.csv").read_text().splitlines()[1:]
    summary = json.loads((out / "summary.json").read_text())
    return {one["id"]: one["reason"] for one in failures}, rows, summary


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_named(result, name):
    reasons, _, _ = result
    assert BAD[name][1] in reasons[name]
    assert f"{name}.nii.gz" in reasons[name]


def test_missing_and_surplus_predictions_are_named(result):
    reasons, _, summary = result
    assert "no segmentation of missing" in reasons["missing"]
    assert summary["surplus"] == ["extra"]


def test_the_good_ones_are_scored(result):
    reasons, rows, summary = result
    assert [row.split(",")[0] for row in rows] == ["floats", "good"]
    assert (summary["n_cases"], summary["n_failed"]) == (2, len(BAD) + 1)
    assert set(reasons) == {*BAD, "missing"}
    assert summary["mean_dice"] == 1.0


def test_what_the_user_asks_for_comes_before_what_the_predictions_say():
    told = Told(labels={1: "one"})
    scoring, names = scoring_of(Request(ious=(0.7, 0.9), tolerance_mm=3.0), told)
    assert (scoring.iou, scoring.more_ious, scoring.tolerance_mm(1)) == (0.7, (0.9,), 3.0)
    assert names == {1: "one"}
    scoring, names = scoring_of(Request(preset="flare22", labels={2: "two"}), told)
    assert (scoring.iou, scoring.tolerance_mm(1), names) == (0.5, 5.0, {2: "two"})


def test_a_manifest_tells_of_models_and_times(tmp_path):
    facts = {"network": "nnunet", "fold": "0", "seed": 1, "parameters": 12}
    content = {
        "labels": {"1": "organ"},
        "instances": False,
        "networks": [facts],
        "cases": {"a": {"seconds": 2.5}},
    }
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    told = told_by(tmp_path)
    assert (told.models[0].parameters, told.seconds) == (12, {"a": 2.5})
    facts["weight"] = 3
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(LayoutError, match="Delete or mend it"):
        told_by(tmp_path)
