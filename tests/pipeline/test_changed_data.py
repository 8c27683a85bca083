"""Files that change or go between the steps of a job: nothing old is used, nothing is lost."""

import json
import shutil

import pytest

from segttt.cli.app import run
from segttt.io.store import StoredCase
from tests.pipeline.conftest import SMALL, tiny_case, write_volume

TRAIN = [
    "train", "--preset", "laptop", "--network", "nnunet", "--epochs", "1", "--iters", "1",
    "--threads", "1",
]  # fmt: skip


@pytest.fixture
def job(tiny_cohort, tmp_path):
    """Data of its own and a workspace with all cases prepared; the command that trains there."""
    data, folder = tmp_path / "data", tmp_path / "run"
    shutil.copytree(tiny_cohort, data)
    command = [*TRAIN, *SMALL, "--data", str(data), "-w", str(folder)]
    assert run([*command, "--no-validate"]) == 0
    return data, folder, command


def test_a_corrected_label_is_prepared_again(job, capsys):
    data, folder, command = job
    (place,) = (folder / "prepared").iterdir()
    before = StoredCase.open(place, "case_2")
    other = StoredCase.open(place, "case_3").folder.stat().st_mtime_ns
    _, label = tiny_case(2, (11, 18, 20))
    write_volume(data / "labelsTr" / "case_2.nii.gz", label[:, ::-1])
    assert run(["preprocess", "-w", str(folder), "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["to_make"] == 1
    assert run([*command, "--no-validate", "--name", "again"]) == 0
    assert "Changed on disk since they were prepared, and prepared again: case_2." in (
        capsys.readouterr().err
    )
    after = StoredCase.open(place, "case_2")
    assert after.record.files["label.b2nd"] != before.record.files["label.b2nd"]
    assert after.record.files["image.b2nd"] == before.record.files["image.b2nd"]
    assert StoredCase.open(place, "case_3").folder.stat().st_mtime_ns == other


def test_prepared_cases_whose_files_are_out_of_reach_are_kept(job, capsys):
    data, folder, _ = job
    capsys.readouterr()
    shutil.rmtree(data)
    assert run(["preprocess", "-w", str(folder), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["made"], result["kept"]) == (0, 6)


def test_a_held_out_case_that_fails_is_named(job, capsys):
    data, folder, command = job
    run_folder = folder / "train" / "nnunet" / "fold0" / "seed0"
    held_out = json.loads((run_folder / "env.json").read_text())["validation"]
    capsys.readouterr()
    assert run(command) == 0
    assert "Finished already, after epoch 0." in capsys.readouterr().err
    assert json.loads((run_folder / "val" / "failures.json").read_text()) == []
    shutil.move(data / "imagesTr" / f"{held_out[0]}_0000.nii.gz", data / "away.nii.gz")
    assert run([*command, "--json"]) == 4
    printed = capsys.readouterr()
    (failure,) = json.loads(printed.out)["failures"]
    assert (failure["id"], failure["stage"]) == (held_out[0], "validate")
    assert held_out[0] in printed.err
    assert json.loads((run_folder / "val" / "failures.json").read_text()) == [failure]
    assert {path.name for path in (run_folder / "val").glob("*.nii.gz")} == {
        f"{held_out[1]}.nii.gz"
    }


def test_a_model_that_was_lost_comes_back_and_one_without_state_is_not_replaced(job, capsys):
    _, folder, command = job
    run_folder = folder / "train" / "nnunet" / "fold0" / "seed0"
    model = run_folder / "model.safetensors"
    before = model.read_bytes()
    model.unlink()
    assert run([*command, "--no-validate"]) == 0
    assert model.read_bytes() == before
    shutil.rmtree(run_folder / "state")
    for resume in ("auto", "never", "must"):
        assert run([*command, "--no-validate", "--resume", resume]) == 2
        assert "holds a model, but no state" in capsys.readouterr().err
    assert model.read_bytes() == before
