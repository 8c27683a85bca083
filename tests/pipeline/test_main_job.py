"""From a folder of scans to scores, as a user types it."""

import json
import shutil

import numpy as np
import pytest
import SimpleITK as sitk

import segttt
from segttt.cli.app import run
from tests.pipeline.conftest import SMALL

TRAIN = [
    "train", "--preset", "laptop", "--epochs", "2", "--iters", "3", "--set",
    "network.heads=4", "--threads", "1",
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def sources_are_only_read(tiny_cohort):
    """No command of this file adds, changes or removes anything in the folder of the data."""

    def listing():
        return {path: path.stat().st_mtime_ns for path in sorted(tiny_cohort.rglob("*"))}

    before = listing()
    yield
    assert listing() == before


@pytest.fixture(scope="module")
def workspace(tiny_cohort, tmp_path_factory):
    """A trained workspace: train plans and preprocesses what is missing."""
    folder = tmp_path_factory.mktemp("job") / "run"
    command = [*TRAIN, *SMALL, "--data", str(tiny_cohort), "-w", str(folder)]
    assert run(command) == 0
    return folder


@pytest.fixture(scope="module")
def model(workspace):
    """The folder of the trained network."""
    return workspace / "train" / "ttt-unet-bot+heads=4"


def test_train_leaves_what_the_design_promises(model):
    folder = model / "fold0" / "seed0"
    for name in ("model.safetensors", "metrics.jsonl", "curves.svg", "env.json", "plan.json"):
        assert (folder / name).is_file(), name
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [0, 1]
    summary = json.loads((folder / "val" / "summary.json").read_text())
    assert summary["n_cases"] == 2


def test_predict_then_evaluate(model, tiny_cohort, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(["predict", str(tiny_cohort / "imagesTs"), "-m", str(model), "-o", str(out)]) == 0
    source = sitk.ReadImage(str(tiny_cohort / "imagesTs" / "case_6_0000.nii.gz"))
    result = sitk.ReadImage(str(out / "case_6.nii.gz"))
    assert result.GetSize() == source.GetSize()
    assert np.allclose(result.GetOrigin(), source.GetOrigin())
    assert np.allclose(result.GetSpacing(), source.GetSpacing())
    capsys.readouterr()
    assert run(["evaluate", str(out), str(tiny_cohort / "labelsTs"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["summary"]["n_cases"] == 2
    assert report["summary"]["seconds_per_case"] > 0
    (facts,) = report["summary"]["models"]
    assert (facts["network"], facts["fold"], facts["seed"]) == (model.name, "0", 0)
    assert facts["parameters"] > 1000 < facts["training_peak_bytes"]
    assert facts["training_seconds"] > 0
    assert json.loads((out / "failures.json").read_text()) == []


def test_folds_that_are_not_there_are_named(model, tiny_cohort, tmp_path, capsys):
    assert segttt.Predictor(model, device="cpu", folds=[0]).labels
    assert segttt.Predictor(model, device="cpu", folds="0").labels
    scans = str(tiny_cohort / "imagesTs")
    out = tmp_path / "out"
    assert run(["predict", scans, "-m", str(model), "-o", str(out), "--folds", "0,3"]) == 2
    assert "of fold 3" in capsys.readouterr().err
    assert not out.exists()


def test_memory_that_suffices_for_no_case_has_its_own_exit_code(
    model, tiny_cohort, tmp_path, capsys
):
    command = ["predict", str(tiny_cohort / "imagesTs"), "-m", str(model), "-o", str(tmp_path)]
    assert run([*command, "--max-ram", "1M"]) == 5
    assert "evaluate" not in capsys.readouterr().err
    failures = json.loads((tmp_path / "failures.json").read_text())
    assert [one["stage"] for one in failures] == ["memory", "memory"]


def test_a_scan_is_never_overwritten_by_its_segmentation(model, tiny_cohort, tmp_path, capsys):
    scan = tmp_path / "a.nii.gz"
    scan.write_bytes((tiny_cohort / "imagesTs" / "case_6_0000.nii.gz").read_bytes())
    before = scan.read_bytes()
    for scans in (scan, tmp_path):
        assert run(["predict", str(scans), "-m", str(model), "-o", str(tmp_path)]) == 2
        assert "overwrite" in capsys.readouterr().err
    assert scan.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.nii.gz"]


def test_a_case_that_fails_keeps_no_result_of_an_earlier_prediction(model, tiny_cohort, tmp_path):
    scans, out = tmp_path / "scans", tmp_path / "out"
    shutil.copytree(tiny_cohort / "imagesTs", scans)
    command = ["predict", str(scans), "-m", str(model), "-o", str(out), "--no-mirror"]
    assert run([*command, "--entropy"]) == 0
    (out / "mine.txt").write_text("kept")
    cut = scans / "case_7_0000.nii.gz"
    cut.write_bytes(cut.read_bytes()[:500])
    assert run([*command, "--overlap", "0.25"]) == 4
    assert not list(out.rglob("case_7*"))
    assert (out / "case_6.nii.gz").is_file()
    assert (out / "mine.txt").read_text() == "kept"
    assert list(json.loads((out / "manifest.json").read_text())["cases"]) == ["case_6"]


def test_skip_done_keeps_whole_results_and_repairs_broken_ones(model, tiny_cohort, tmp_path):
    out = tmp_path / "out"
    command = ["predict", str(tiny_cohort / "imagesTs"), "-m", str(model), "-o", str(out)]
    assert run(command) == 0
    whole, broken = out / "case_6.nii.gz", out / "case_7.nii.gz"
    before, content = whole.stat().st_mtime_ns, broken.read_bytes()
    broken.write_bytes(content[: len(content) // 2])
    assert run([*command, "--skip-done"]) == 0
    assert whole.stat().st_mtime_ns == before
    assert broken.read_bytes() == content


def test_maps_beside_the_segmentation(model, tiny_cohort, tmp_path):
    out = tmp_path / "out"
    command = ["predict", str(tiny_cohort / "imagesTs"), "-m", str(model), "-o", str(out)]
    assert run([*command, "--no-mirror"]) == 0
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "case_6.nii.gz")))
    manifest = out / "manifest.json"
    assert "maps" not in json.loads(manifest.read_text())["cases"]["case_6"]
    asked = [*command, "--no-mirror", "--skip-done", "--entropy", "--probabilities"]
    assert run(asked) == 0  # finished cases lack the maps, so they are done again
    names = ["probabilities/1_front", "probabilities/2_back", "entropy"]
    front, back, entropy = (sitk.ReadImage(str(out / name / "case_6.nii.gz")) for name in names)
    source = sitk.ReadImage(str(tiny_cohort / "imagesTs" / "case_6_0000.nii.gz"))
    assert entropy.GetOrigin() == source.GetOrigin()
    assert entropy.GetSpacing() == source.GetSpacing()
    shares = np.stack([sitk.GetArrayFromImage(one) for one in (front, back)])
    shares = np.concatenate([1 - shares.sum(0, keepdims=True), shares])
    np.testing.assert_array_equal(shares.argmax(0), labels)
    expected = -(shares * np.log(np.clip(shares, 1e-9, 1))).sum(0) / np.log(3)
    np.testing.assert_allclose(sitk.GetArrayFromImage(entropy), expected, atol=5e-3)
    before = (out / "entropy" / "case_7.nii.gz").stat().st_mtime_ns
    assert run(asked) == 0
    assert (out / "entropy" / "case_7.nii.gz").stat().st_mtime_ns == before
    (out / "entropy" / "case_7.nii.gz").write_bytes(b"damaged")
    assert run(asked) == 0
    assert (out / "entropy" / "case_7.nii.gz").stat().st_size > 100


def test_one_bad_scan_never_stops_the_others(model, tiny_cohort, tmp_path, capsys):
    scans, out = tmp_path / "scans", tmp_path / "out"
    scans.mkdir()
    good = (tiny_cohort / "imagesTs" / "case_6_0000.nii.gz").read_bytes()
    (scans / "good.nii.gz").write_bytes(good)
    (scans / "cut.nii.gz").write_bytes(good[: len(good) // 2])
    assert run(["predict", str(scans), "-m", str(model), "-o", str(out)]) == 4
    assert (out / "good.nii.gz").is_file()
    assert not (out / "cut.nii.gz").exists()
    (failure,) = json.loads((out / "failures.json").read_text())
    assert failure["id"] == "cut"
    assert "cut.nii.gz" in failure["reason"]
    assert "Traceback" not in capsys.readouterr().err


def test_evaluate_names_missing_and_misplaced(model, tiny_cohort, tmp_path):
    out = tmp_path / "out"
    assert run(["predict", str(tiny_cohort / "imagesTs"), "-m", str(model), "-o", str(out)]) == 0
    (out / "case_6.nii.gz").unlink()
    moved = sitk.ReadImage(str(out / "case_7.nii.gz"))
    moved.SetOrigin((0.0, 0.0, 0.0))
    sitk.WriteImage(moved, str(out / "case_7.nii.gz"))
    assert (
        run(["evaluate", str(out), str(tiny_cohort / "labelsTs"), "-o", str(tmp_path / "s")]) == 3
    )
    reasons = {f["id"]: f["reason"] for f in json.loads((tmp_path / "s/failures.json").read_text())}
    assert "no segmentation of case_6" in reasons["case_6"]
    assert "does not lie on the grid" in reasons["case_7"]


def test_another_plan_is_refused_in_the_same_run(workspace, tiny_cohort, capsys):
    command = [*TRAIN, *SMALL, "-w", str(workspace), "--set", "train.lr=0.5"]
    assert run(command) == 2
    assert "train.lr" in capsys.readouterr().err
    assert run([*command, "--name", "fast", "--no-validate"]) == 0
    assert (workspace / "train" / "fast" / "fold0" / "seed0" / "model.safetensors").is_file()


def test_dry_runs_write_nothing(tiny_cohort, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    data = str(tiny_cohort)
    assert run(["plan", data, "--preset", "laptop", "--dry-run"]) == 0
    printed = capsys.readouterr()
    for word in ("patch", "batch", "stages", "parameters", "memory", "disk", "time per epoch"):
        assert word in printed.out
    assert "segttt train" in printed.err
    assert run([*TRAIN, *SMALL, "--data", data, "--dry-run"]) == 0
    assert list(tmp_path.iterdir()) == []


def test_all_folds_are_averaged(tiny_cohort, tmp_path):
    folder = tmp_path / "run"
    command = [*TRAIN, *SMALL, "--data", str(tiny_cohort), "-w", str(folder), "--folds", "0,1"]
    assert run([*command, "--no-validate"]) == 0
    out = tmp_path / "out"
    assert run(["predict", str(tiny_cohort / "imagesTs"), "-m", str(folder), "-o", str(out)]) == 0
    assert len(json.loads((out / "manifest.json").read_text())["models"]) == 2


def test_the_ablation_trains_and_predicts(tiny_cohort, tmp_path):
    folder = tmp_path / "run"
    command = [*TRAIN, *SMALL, "--data", str(tiny_cohort), "-w", str(folder), "--fold", "all"]
    assert run([*command, "--set", "network.mixer=none"]) == 0
    (model,) = (folder / "train").iterdir()
    assert "mixer=none" in model.name


@pytest.mark.parametrize("wish", [["--data", "elsewhere"], ["--preset", "demo"], ["--instances"]])
def test_a_workspace_is_never_used_for_something_else(workspace, tmp_path, wish, capsys):
    (tmp_path / "elsewhere").mkdir()
    wish = [str(tmp_path / "elsewhere") if one == "elsewhere" else one for one in wish]
    assert run(["train", "-w", str(workspace), *wish]) == 2
    assert "was planned with" in capsys.readouterr().err


def test_json_of_dry_runs(workspace, model, tiny_cohort, tmp_path, capsys):
    scans, out = str(tiny_cohort / "imagesTs"), str(tmp_path / "out")
    assert run(["train", "-w", str(workspace), "--folds", "all", "--dry-run", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["folds"]) == ["0", "1", "2", "3", "4"]
    assert run(["preprocess", "-w", str(workspace), "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kept"] == 6
    assert run(["predict", scans, "-m", str(model), "-o", out, "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cases"] == ["case_6", "case_7"]
    assert not (tmp_path / "out").exists()


def test_bench_times_the_parts_of_a_step(workspace, capsys):
    capsys.readouterr()
    command = ["bench", "-w", str(workspace), "--batches", "3", "--threads", "1", "--json"]
    assert run([*command, "--set", "network.heads=4"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert all(seconds > 0 for seconds in result["phases"].values())
    assert result["bound"] in ("read", "augment", "forward", "backward")
    assert result["threads"] == 1
    assert not list(workspace.glob("**/bench*"))
    assert run([*command, "--set", "spacing_mm=[9, 9, 9]"]) == 2
    assert "segttt preprocess" in capsys.readouterr().err
