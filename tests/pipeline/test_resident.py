"""A model that stays loaded, as other programs use it."""

import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

import segttt
from segttt.cli.app import run
from segttt.errors import DataError, UsageError
from tests.pipeline.conftest import SMALL

WHOLE = np.ones((1, 8, 8, 8), np.float32)


@pytest.fixture(scope="module")
def model(tiny_cohort, tmp_path_factory):
    """The folder of a trained network."""
    folder = tmp_path_factory.mktemp("resident") / "run"
    command = [
        "train", "--preset", "laptop", "--epochs", "1", "--iters", "1", "--set",
        "network.heads=4", "--threads", "1", "--no-validate", *SMALL, "--data", str(tiny_cohort),
    ]  # fmt: skip
    assert run([*command, "-w", str(folder)]) == 0
    return folder / "train"


@pytest.fixture(scope="module")
def resident(model):
    """The trained network, loaded, without mirrored copies."""
    return segttt.Predictor(model, device="cpu", settings={"predict.mirror": False})


def test_a_resident_model_gives_what_predict_writes(model, tiny_cohort, tmp_path):
    scan = tiny_cohort / "imagesTs" / "case_6_0000.nii.gz"
    assert run(["predict", str(scan.parent), "-m", str(model), "-o", str(tmp_path)]) == 0
    written = sitk.ReadImage(str(tmp_path / "case_6.nii.gz"))
    wanted = sitk.GetArrayFromImage(written)
    predictor = segttt.Predictor(model, device="cpu")
    assert dict(predictor.labels) == {1: "front", 2: "back"}
    file = predictor.segment_files([scan], tmp_path / "again.nii.gz")
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(file))), wanted)
    source = sitk.ReadImage(str(scan))
    image = predictor.segment_images(source)
    assert np.array_equal(sitk.GetArrayFromImage(image), wanted)
    assert image.GetDirection() == written.GetDirection()
    assert image.GetOrigin() == written.GetOrigin()
    # the array API takes axes to superior, posterior and left
    upright = sitk.DICOMOrient(source, "LPS")
    array = sitk.GetArrayFromImage(upright)[None]
    found = predictor.segment_array(array, upright.GetSpacing()[::-1])
    assert np.array_equal(found, sitk.GetArrayFromImage(sitk.DICOMOrient(written, "LPS")))


def test_the_documented_example_runs(model, tiny_cohort, tmp_path, monkeypatch, capsys):
    text = (Path(__file__).parents[2] / "docs" / "embedding.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "run").symlink_to(model)
    (tmp_path / "demo" / "phantom").symlink_to(tiny_cohort)
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    for block in blocks:
        exec(block, names)
    assert len(blocks) == 5
    again = sitk.GetArrayFromImage(sitk.ReadImage(str(names["written"])))
    assert np.array_equal(sitk.GetArrayFromImage(names["label_map"]), again)
    assert sum(names["volume_ml"]) == pytest.approx(
        names["classes"].size * np.prod(sitk.ReadImage(str(names["scan"])).GetSpacing()) / 1000
    )
    said = capsys.readouterr().out
    assert "front" in said
    assert "NaN" in said


def test_a_resident_model_refuses_what_a_scan_must_not_hold(resident):
    assert not resident.plan.predict.mirror
    with pytest.raises(DataError, match="NaN"):
        resident.segment_array(np.full((1, 8, 8, 8), np.nan, np.float32), (1.0, 1.0, 1.0))
    with pytest.raises(DataError, match="channels"):
        resident.segment_array(np.ones((3, 8, 8, 8), np.float32), (1.0, 1.0, 1.0))
    with pytest.raises(DataError, match="three"):
        resident.segment_images(sitk.Image(8, 8, sitk.sitkFloat32))


@pytest.mark.parametrize(
    ("array", "spacing", "said"),
    [
        (WHOLE[0], (1.0, 1.0, 1.0), "3 axes"),
        (WHOLE[:, :0], (1.0, 1.0, 1.0), "0 voxels"),
        (WHOLE.astype(complex), (1.0, 1.0, 1.0), "complex128"),
        (WHOLE.astype(str), (1.0, 1.0, 1.0), "real number"),
        (WHOLE * np.float64(1e300), (1.0, 1.0, 1.0), "512 voxels that are NaN or infinite"),
        (WHOLE, (1.0, 1.0), "2 spacings"),
    ],
)
def test_a_resident_model_refuses_what_is_no_scan(resident, array, spacing, said):
    with pytest.raises(DataError, match=said):
        resident.segment_array(array, spacing)


def test_a_resident_model_among_double_precision(resident, model):
    scan = np.random.default_rng(0).normal(size=(1, 12, 20, 20))
    expected = resident.segment_array(scan, (1.0, 1.0, 1.0))
    torch.set_default_dtype(torch.float64)
    try:
        other = segttt.Predictor(model, device="cpu", settings={"predict.mirror": False})
        assert np.array_equal(other.segment_array(scan, (1.0, 1.0, 1.0)), expected)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_resident_model_can_be_handed_to_another_process(resident):
    scan = np.random.default_rng(0).normal(size=(1, 12, 20, 20))
    other = pickle.loads(pickle.dumps(resident))
    expected = resident.segment_array(scan, (1.0, 1.0, 1.0))
    assert np.array_equal(other.segment_array(scan, (1.0, 1.0, 1.0)), expected)


def test_a_resident_model_takes_whole_numbers_as_spacing(resident):
    assert resident.segment_array(WHOLE, (1, 1, 1)).shape == (8, 8, 8)


def test_a_resident_model_refuses_nothing_at_all(resident, tmp_path):
    with pytest.raises(DataError, match="no image"):
        resident.segment_images()
    with pytest.raises(DataError, match="no file"):
        resident.segment_files([], tmp_path / "out.nii.gz")


def test_a_resident_model_takes_one_path_and_makes_the_folder(resident, tiny_cohort, tmp_path):
    scan = tiny_cohort / "imagesTs" / "case_6_0000.nii.gz"
    out = tmp_path / "new" / "folder" / "case.nii.gz"
    assert resident.segment_files(str(scan), out) == out
    assert sitk.ReadImage(str(out)).GetSize() == sitk.ReadImage(str(scan)).GetSize()


@pytest.mark.parametrize("name", ["case.png", "case.seg.dcm", "case.foo", "case", "case.jpg"])
def test_a_resident_model_refuses_names_that_hold_no_such_label_map(
    resident, tiny_cohort, tmp_path, name
):
    scan = tiny_cohort / "imagesTs" / "case_6_0000.nii.gz"
    with pytest.raises(UsageError, match=r"\.nii\.gz"):
        resident.segment_files([scan], tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_resident_model_never_overwrites_a_scan(resident, tiny_cohort, tmp_path):
    scan = tmp_path / "a.nii.gz"
    scan.write_bytes((tiny_cohort / "imagesTs" / "case_6_0000.nii.gz").read_bytes())
    before = scan.read_bytes()
    with pytest.raises(UsageError, match="overwrite"):
        resident.segment_files([scan], tmp_path / "." / "a.nii.gz")
    assert scan.read_bytes() == before
