"""Real folders, with everything that is wrong with them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from imageio.v3 import imread

from segttt.cli.app import run
from segttt.preprocessing.cells import decode

ONE_STEP = [
    "train", "--preset", "laptop", "--epochs", "1", "--iters", "1", "--fold", "all",
    "--threads", "1", "--set", "train.val_iterations=0", "--set", "network.mixer=none",
]  # fmt: skip


@pytest.fixture
def messy(shared_data, tmp_path) -> Path:
    """A few good hippocampus cases with the unusable files that were found beside them."""
    folder = tmp_path / "messy"
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
        for source in sorted((shared_data / "hippocampus" / f"{part}Tr").iterdir())[:4]:
            shutil.copy(source, folder / part)
        for source in (shared_data / "hippocampus_dirty" / part).iterdir():
            shutil.copy(source, folder / part)
    return folder


def test_the_dirty_folder_is_named_file_by_file(messy, capsys):
    assert run(["data", "check", str(messy), "--json"]) == 4
    report = json.loads(capsys.readouterr().out)
    assert report["good"] == 4
    assert set(report["problems"]) == {"hippocampus_010", "hippocampus_118", "hippocampus_281"}
    text = json.dumps(report["problems"])
    assert "no label" in text
    assert "no image" in text


def test_the_good_cases_of_a_dirty_folder_are_trained_on(messy, tmp_path, capsys):
    folder = tmp_path / "run"
    assert run([*ONE_STEP, "--data", str(messy), "-w", str(folder)]) == 4
    assert len(json.loads((folder / "dataset.json").read_text())["cases"]) == 4
    assert {one["id"] for one in json.loads((folder / "check.json").read_text())} == {
        "hippocampus_010", "hippocampus_118", "hippocampus_281",
    }  # fmt: skip
    assert "hippocampus_118" in capsys.readouterr().err
    assert list(folder.rglob("model.safetensors"))


def test_a_cut_image_and_a_misplaced_label_never_slip_through(messy, tmp_path, capsys):
    first, second = sorted((messy / "images").glob("hippocampus_00[1-4]*"))[:2]
    first.write_bytes(first.read_bytes()[:4000])
    shutil.copy(sorted((messy / "labels").glob("*"))[-2], messy / "labels" / second.name)
    assert run(["plan", str(messy), "-w", str(tmp_path / "run"), "--no-measure"]) == 4
    reasons = {f["id"]: f["reason"] for f in json.loads((tmp_path / "run/check.json").read_text())}
    assert first.name in reasons["hippocampus_001"]
    assert "grid" in reasons[second.name.split(".")[0]]
    assert "Traceback" not in capsys.readouterr().err


def test_only_bad_cases_leave_nothing_behind(shared_data, tmp_path, capsys):
    folder = tmp_path / "bad"
    shutil.copytree(shared_data / "hippocampus_dirty", folder)
    assert run(["plan", str(folder), "-w", str(tmp_path / "run")]) == 3
    assert not (tmp_path / "run").exists()
    printed = capsys.readouterr().err
    assert all(f"hippocampus_{number}" in printed for number in ("010", "118", "281"))


def test_pictures_with_instances_of_many_sizes(shared_data, tmp_path, capsys):
    """RGBA nuclei: interior and boundary are learned, 16-bit instance maps are the truth."""
    data = tmp_path / "nuclei"
    for part in ("Tr", "Ts"):
        names = [p.name for p in sorted((shared_data / "nuclei" / f"images{part}").iterdir())[:3]]
        for kind in ("images", "labels"):
            (data / f"{kind}{part}").mkdir(parents=True)
            for name in names:
                source = shared_data / "nuclei" / f"{kind}{part}" / name
                shutil.copy(source, data / f"{kind}{part}")
    about = json.loads((shared_data / "nuclei" / "dataset.json").read_text())
    about.pop("training")
    (data / "dataset.json").write_text(json.dumps(about))
    folder, out = tmp_path / "run", tmp_path / "out"
    assert run([*ONE_STEP, "--data", str(data), "-w", str(folder)]) == 0
    plan = json.loads((folder / "plan.json").read_text())
    assert plan["labels"] == {"1": "interior", "2": "boundary"}
    assert len(plan["topology"]["patch"]) == 2
    assert plan["channels"] == ["R", "G", "B"]
    command = ["predict", str(data / "imagesTs"), "-m", str(folder), "-o", str(out), "--no-mirror"]
    assert run(command) == 0
    assert run(["evaluate", str(out), str(data / "labelsTs")]) == 0
    for path in sorted((data / "imagesTs").iterdir()):
        classes, cells = imread(out / path.name), imread(out / "instances" / path.name)
        assert cells.dtype == np.uint16
        np.testing.assert_array_equal(cells, decode(classes))
    assert run(["evaluate", str(out / "instances"), str(data / "labelsTs"), "--instances"]) == 0
    (out / "instances" / path.name).unlink()
    assert run([*command, "--skip-done"]) == 0
    assert (out / "instances" / path.name).is_file()
    capsys.readouterr()


def test_volumes_of_other_orientation_and_type_keep_their_grid(shared_data, tmp_path):
    """A CT in RAS (int32) and an MR in LPS (int16): the segmentation lies on the file's grid."""
    import SimpleITK as sitk

    ct = shared_data / "abdomen_ct"
    for part, names in (
        ("images", ("ct", "ct_small")),
        ("labels", ("ct_flare13", "ct_small_flare13")),
    ):
        (tmp_path / "data" / part).mkdir(parents=True)
        for name in names:
            target = f"{name.removesuffix('_flare13')}.nii.gz"
            shutil.copy(ct / f"{name}.nii.gz", tmp_path / "data" / part / target)
    folder, out = tmp_path / "run", tmp_path / "out"
    small = ["--set", "topology.patch=[32,32,32]"]
    assert run([*ONE_STEP, *small, "--data", str(tmp_path / "data"), "-w", str(folder)]) == 0
    scans = tmp_path / "scans"
    scans.mkdir()
    for name in ("ct_small", "mr_small"):
        shutil.copy(ct / f"{name}.nii.gz", scans)
    assert run(["predict", str(scans), "-m", str(folder), "-o", str(out), "--no-mirror"]) == 0
    for name in ("ct_small", "mr_small"):
        source, result = (sitk.ReadImage(str(p / f"{name}.nii.gz")) for p in (scans, out))
        assert result.GetSize() == source.GetSize()
        assert result.GetDirection() == pytest.approx(source.GetDirection(), abs=1e-6)
        assert result.GetOrigin() == pytest.approx(source.GetOrigin(), abs=1e-4)
        assert result.GetSpacing() == pytest.approx(source.GetSpacing(), abs=1e-6)
