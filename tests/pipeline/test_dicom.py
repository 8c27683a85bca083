"""DICOM through the whole job: training on series, segmenting a mixed folder, nobody named."""

import gzip
import json

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from segttt.cli.app import run
from segttt.io.dicom import library
from segttt.io.dicom.study import read_series, usable_files
from segttt.io.images import write_image
from tests.io.dicom.written import CANARIES, CANARY_DATE, canary, edit, write_series
from tests.pipeline.conftest import SMALL, tiny_case

TRAIN = ["train", "--preset", "laptop", "--epochs", "1", "--iters", "2", "--threads", "1"]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Four training cases in nnU-Net's layout, each image a folder of slices."""
    folder = tmp_path_factory.mktemp("cohort")
    (folder / "labelsTr").mkdir(parents=True)
    for number in range(4):
        image, label = tiny_case(number)
        scan = folder / "imagesTr" / f"case_{number}_0000"
        write_series(scan, np.clip(image, 0, None).astype(np.uint16), spacing=(3, 1.5, 1.5))
        write_image(
            folder / "labelsTr" / f"case_{number}.nii.gz", label, read_series(usable_files(scan))[1]
        )
    names = {"channel_names": {"0": "MR"}, "labels": {"background": 0, "liver": 1, "back": 2}}
    (folder / "dataset.json").write_text(json.dumps(names))
    return folder


@pytest.fixture(scope="module")
def workspace(cohort, tmp_path_factory):
    folder = tmp_path_factory.mktemp("job") / "run"
    assert run([*TRAIN, *SMALL, "--data", str(cohort), "-w", str(folder)]) == 0
    return folder


@pytest.fixture
def scanner(tmp_path):
    """Two good series, one with a gap, an oblique one, and a file that is no DICOM."""
    place = tmp_path / "scanner"
    image = np.clip(tiny_case(9)[0], 0, None).astype(np.uint16)
    tilted = ((0.0, 0.8, -0.6), (0.0, 0.6, 0.8))
    write_series(place / "one" / "deep", image, spacing=(3, 1.5, 1.5), number=1)
    write_series(place / "oblique", image, spacing=(3, 1.5, 1.5), axes=tilted, number=2)
    write_series(place / "gap", image, spacing=(3, 1.5, 1.5), number=3)[4].unlink()
    (place / "notes.txt").write_text("hello")
    return place


def test_a_mixed_folder_is_segmented_on_the_source_grids(workspace, scanner, tmp_path, capfd):
    out = tmp_path / "out"
    command = ["predict", str(scanner), "-m", str(workspace), "-o", str(out)]
    assert run([*command, "--no-mirror"]) == 4
    assert {path.name for path in out.iterdir() if path.name[0] != "."} == {
        "deep.nii.gz", "deep.seg.dcm", "oblique.nii.gz", "oblique.seg.dcm", "manifest.json",
        "failures.json",
    }  # fmt: skip
    (failure,) = json.loads((out / "failures.json").read_text())
    assert failure["id"] == "gap"
    assert "1 of 10 slices are missing" in failure["reason"]
    printed = capfd.readouterr()
    assert "1 x other file" in printed.err
    for name, folder in (("deep", scanner / "one" / "deep"), ("oblique", scanner / "oblique")):
        written = sitk.ReadImage(str(out / f"{name}.nii.gz"))
        files = sorted(folder.iterdir(), key=lambda one: pydicom.dcmread(one).InstanceNumber)
        source = sitk.ReadImage([str(path) for path in files])
        assert written.GetSize() == source.GetSize()
        np.testing.assert_allclose(written.GetOrigin(), source.GetOrigin(), atol=1e-4)
        np.testing.assert_allclose(written.GetDirection(), source.GetDirection(), atol=1e-5)
        array = sitk.GetArrayFromImage(written)
        segments = highdicom.seg.segread(out / f"{name}.seg.dcm")
        assert [one.SegmentLabel for one in segments.SegmentSequence] == ["liver", "back"]
        if array.any():
            found = segments.get_volume(combine_segments=True).array
            assert np.bincount(found.ravel(), minlength=3)[1:].tolist() == (
                np.bincount(array.ravel(), minlength=3)[1:].tolist()
            )
    assert run([*command, "--skip-done", "--json", "--no-mirror"]) == 4
    assert json.loads(capfd.readouterr().out)["skipped"] == ["deep", "oblique"]


def test_one_format_of_one_series(workspace, scanner, tmp_path):
    out = tmp_path / "out"
    command = ["predict", str(scanner), "-m", str(workspace), "-o", str(out), "--no-mirror"]
    only = ["--series", "number=2", "--format", "dicom-seg", "--seg-type", "labelmap"]
    assert run([*command, *only]) == 0
    assert [path.name for path in sorted(out.glob("o*"))] == ["oblique.seg.dcm"]
    assert pydicom.dcmread(out / "oblique.seg.dcm").SegmentationType == "LABELMAP"
    assert run([*command, "--skip-done", *only]) == 0
    assert run([*command, "--series", "no such"]) == 2
    assert run([*command, "--format", "png"]) == 2


def test_no_patient_is_in_any_output(workspace, scanner, tmp_path, capfd):
    """Canaries in 30 text tags, 5 dates and every UID; only the DICOM SEG may name a patient."""
    out = tmp_path / "out"
    code = run(
        ["predict", str(scanner), "-m", str(workspace), "-o", str(out), "--no-mirror", "--json"]
    )
    assert code == 4
    run(["predict", str(scanner), "-m", str(workspace), "-o", str(out), "--dry-run"])
    printed = capfd.readouterr()
    said = [printed.out, printed.err]
    files = [path for path in (*out.rglob("*"), *workspace.rglob("*")) if path.is_file()]
    assert len(files) > 15
    uids = {
        str(element.value)
        for path in scanner.rglob("IM*")
        for element in pydicom.dcmread(path)
        if element.VR == "UI" and element.keyword != "SOPClassUID"
    }
    assert len(uids) > 30
    secrets = [*map(canary, CANARIES), CANARY_DATE, *uids]
    for path in files:
        if path.name.endswith(".seg.dcm"):
            continue
        content = path.read_bytes()
        said.append((gzip.decompress(content) if path.suffix == ".gz" else content).decode("latin"))
        said.append(path.name)
    for text in said:
        assert not [secret for secret in secrets if secret in text]
    assert canary("PatientName") in (out / "deep.seg.dcm").read_bytes().decode("latin")


def test_data_check_lists_the_series(scanner, capfd):
    assert run(["data", "check", str(scanner), "--json"]) == 4
    found = json.loads(capfd.readouterr().out)
    assert [one["id"] for one in found["series"]] == ["deep", "gap", "oblique"]
    assert found["skipped"] == {"other file": 1}
    assert "gap of 6 mm" in found["problems"]["gap"][0]
    assert run(["data", "check", str(scanner)]) == 4
    printed = capfd.readouterr()
    assert "2 series can be used, 1 cannot." in printed.out
    assert canary("PatientName") not in printed.out + printed.err


def test_a_slice_that_cannot_be_decoded_is_one_failure(workspace, scanner, tmp_path, capfd):
    broken = next((scanner / "oblique").iterdir())
    edit(broken, PixelData=b"ab")
    assert run(["data", "check", str(scanner), "--json"]) == 4
    assert broken.name in json.loads(capfd.readouterr().out)["problems"]["oblique"][0]
    out = tmp_path / "out"
    assert run(["predict", str(scanner), "-m", str(workspace), "-o", str(out), "--no-mirror"]) == 4
    failed = {one["id"] for one in json.loads((out / "failures.json").read_text())}
    assert failed == {"gap", "oblique"}
    assert (out / "deep.nii.gz").is_file()


def test_a_series_without_uids_gets_no_seg(workspace, scanner, tmp_path):
    for path in (scanner / "oblique").iterdir():
        edit(path, StudyInstanceUID="", SeriesInstanceUID="")
    out = tmp_path / "out"
    command = ["predict", str(scanner), "-m", str(workspace), "--no-mirror", "--series", "oblique"]
    assert run([*command, "-o", str(out)]) == 0
    assert not list(out.glob("*.dcm"))
    assert run([*command, "-o", str(out), "--format", "dicom-seg"]) == 3


def test_without_the_extra_one_sentence_names_it(workspace, scanner, monkeypatch, capfd):
    monkeypatch.setattr(library, "find_spec", lambda name: None)
    assert run(["predict", str(scanner), "-m", str(workspace), "-o", "unused"]) == 6
    assert "pip install 'segttt[dicom]'" in capfd.readouterr().err


def test_a_seg_needs_a_dicom_source(workspace, cohort, tmp_path, capfd):
    command = ["predict", str(cohort / "labelsTr"), "-m", str(workspace), "-o", str(tmp_path)]
    assert run([*command, "--format", "dicom-seg"]) == 2
    assert "no DICOM series" in capfd.readouterr().err
    assert run([*command, "--series", "1"]) == 2
