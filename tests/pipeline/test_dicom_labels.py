"""Training on DICOM SEG and RTSTRUCT, and predicting what needs a remedy, from files to scores."""

import json

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from segttt.cases import Segmentation
from segttt.cli.app import run
from segttt.io.dicom.rtstruct import write_rtstruct
from segttt.io.dicom.seg import write_seg
from segttt.io.dicom.study import only_series
from segttt.io.layouts.read import read_dataset
from tests.io.dicom.written import edit, write_series
from tests.pipeline.conftest import SMALL, tiny_case

TRAIN = ["train", "--preset", "laptop", "--epochs", "1", "--iters", "2", "--threads", "1"]
NAMES = {1: "liver", 2: "back"}


def _case(number, scan, label, folder=None):
    """A series, and its label as a SEG or an RTSTRUCT by turns; `folder` takes it as RS inside."""
    image, values = tiny_case(number)
    write_series(scan, np.clip(image, 0, None).astype(np.uint16), spacing=(3, 1.5, 1.5))
    series = only_series(scan)
    label.parent.mkdir(parents=True, exist_ok=True)
    segmentation = Segmentation(scan.name, values, series.grid)
    if number % 2:
        write_seg(label, segmentation, NAMES, series.files, "binary")
    elif folder is None:
        write_rtstruct(label, segmentation, NAMES, series.files)
    else:
        folder.mkdir()
        write_rtstruct(folder / "RS", segmentation, NAMES, series.files)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    home = tmp_path_factory.mktemp("plain")
    for number in range(4):
        name = f"case_{number}"
        place = home / "labels" / name if number == 2 else None
        _case(number, home / "images" / name, home / "labels" / f"{name}.dcm", place)
    return home


@pytest.fixture(scope="module")
def workspace(plain, tmp_path_factory):
    folder = tmp_path_factory.mktemp("job") / "run"
    assert run([*TRAIN, *SMALL, "--data", str(plain), "-w", str(folder), "--fold", "0"]) == 0
    return folder


def test_names_become_the_labels_and_validation_reads_them(workspace):
    assert json.loads((workspace / "plan.json").read_text())["labels"] == {
        "1": "back",
        "2": "liver",
    }
    (summary,) = workspace.glob("train/*/fold0/seed0/val/summary.json")
    assert [one["name"] for one in json.loads(summary.read_text())["per_label"]] == [
        "back",
        "liver",
    ]


@pytest.mark.parametrize("layout", ["nnunet", "msd"])
def test_declared_names_decide_values(tmp_path, layout, capfd):
    suffix = "_0000" if layout == "nnunet" else ""
    listed = []
    for number in range(2):
        scan = tmp_path / "imagesTr" / f"case_{number}{suffix}"
        _case(number, scan, tmp_path / "labelsTr" / f"case_{number}.dcm")
        listed.append(
            {"image": f"./imagesTr/{scan.name}", "label": f"./labelsTr/case_{number}.dcm"}
        )
    content = {"channel_names": {"0": "MR"}, "labels": {"background": 0, "BACK": 5, "liver": 3}}
    if layout == "msd":
        content["training"] = listed
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    assert run(["data", "check", str(tmp_path)]) == 0
    dataset, failures = read_dataset(tmp_path)
    assert (dataset.layout, failures) == (layout, [])
    assert dataset.labels == {3: "liver", 5: "BACK"}
    del content["labels"]["liver"]
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    capfd.readouterr()
    assert run(["data", "check", str(tmp_path), "--json"]) == 3
    problems = json.loads(capfd.readouterr().out)["problems"]
    assert all("liver, which the dataset does not declare" in one for (one,) in problems.values())


def test_a_label_of_another_scan_is_named(plain, tmp_path, capfd):
    home = tmp_path / "data"
    for number in range(2):
        name = f"case_{number}"
        _case(number, home / "images" / name, home / "labels" / f"{name}.dcm")
    (home / "labels" / "case_0.dcm").write_bytes((plain / "labels" / "case_0.dcm").read_bytes())
    assert run(["data", "check", str(home), "--json"]) == 4
    ((name, (problem,)),) = json.loads(capfd.readouterr().out)["problems"].items()
    assert name == "case_0"
    assert "another frame of reference" in problem


def test_labels_with_and_without_names_do_not_mix(plain, tmp_path, capfd):
    home = tmp_path / "data"
    _case(1, home / "images" / "a", home / "labels" / "a.dcm")
    _case(3, home / "images" / "b", tmp_path / "unused.dcm")
    series = only_series(home / "images" / "b")
    image = sitk.GetImageFromArray(tiny_case(3)[1])
    image.SetSpacing(series.grid.spacing_mm[::-1])
    image.SetOrigin(series.grid.origin_mm)
    sitk.WriteImage(image, str(home / "labels" / "b.nii.gz"))
    assert run(["data", "check", str(home)]) == 3
    assert "Say in dataset.json which is which" in capfd.readouterr().err


def test_every_format_and_dicom_truth(workspace, plain, tmp_path, capfd):
    out = tmp_path / "out"
    command = [
        "predict",
        str(plain / "images"),
        "-m",
        str(workspace),
        "-o",
        str(out),
        "--no-mirror",
    ]
    formats = ["--format", "nifti", "--format", "dicom-seg", "--format", "rtstruct"]
    assert run([*command, *formats]) == 0
    endings = (".nii.gz", ".rtstruct.dcm", ".seg.dcm")
    assert {path.name for path in out.glob("case*")} == {
        f"case_{number}{ending}" for number in range(4) for ending in endings
    }
    assert run(["evaluate", str(out), str(plain / "labels"), "--json"]) == 0
    capfd.readouterr()
    assert run([*command, "--skip-done", "--format", "rtstruct", "--json"]) == 0
    assert len(json.loads(capfd.readouterr().out)["skipped"]) == 4
    manifest = json.loads((out / "manifest.json").read_text())
    assert set(manifest["cases"]["case_0"]) >= {"file", "dicom_seg", "rtstruct"}
    assert run([*command, "--format", "both"]) == 2


def test_a_series_with_gap_and_tilt_is_mended_on_request(workspace, tmp_path, capfd):
    scans, out = tmp_path / "scans", tmp_path / "out"
    image = np.clip(tiny_case(9)[0], 0, None).astype(np.uint16)
    files = write_series(scans / "ct", image, spacing=(3, 1.5, 1.5))
    for index, path in enumerate(files):
        edit(path, ImagePositionPatient=[0, 0.9 * index, 3.0 * index])
    files[4].unlink()
    command = ["predict", str(scans), "-m", str(workspace), "-o", str(out), "--no-mirror"]
    assert run([*command, "--json"]) == 3
    assert "--resample-nonuniform" in capfd.readouterr().err
    assert run([*command, "--resample-nonuniform"]) == 3
    assert "--correct-tilt" in capfd.readouterr().err
    options = ["--resample-nonuniform", "--correct-tilt", "--format", "nifti"]
    assert run([*command, *options, "--format", "dicom-seg", "--format", "rtstruct"]) == 0
    assert json.loads((out / "manifest.json").read_text())["cases"]["ct"]["remedies"] == [
        "resampled 9 slices, 3 to 6 mm apart, onto 10 at 3 mm", "corrected a tilt of 16.7 degrees",
    ]  # fmt: skip
    written = sitk.ReadImage(str(out / "ct.nii.gz"))
    assert written.GetSize() == (22, 26, 10)
    assert written.GetSpacing() == pytest.approx((1.5, 1.5, 3.0))
    seg = pydicom.dcmread(out / "ct.seg.dcm")
    assert (seg.Rows, seg.Columns) == (20, 22)
    assert pydicom.dcmread(out / "ct.rtstruct.dcm").Modality == "RTSTRUCT"
