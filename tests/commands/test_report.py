"""Reports of finished runs: what is found, what is chosen, what is kept out."""

import json
import re
import shutil

import numpy as np
import pytest

from segttt.cli.app import run
from segttt.commands.reports.views import choose
from tests.browser import specimen


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    return specimen.write_run(tmp_path_factory.mktemp("volumes") / "run", 7)


@pytest.fixture
def run_of_volumes(tmp_path):
    return specimen.write_run(tmp_path / "run", 7)


def test_a_run_needs_one_argument(volumes, capsys):
    assert run(["report", "-w", str(volumes), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["cases"], told["shown"], told["failures"]) == (7, 7, {})
    page = (volumes / "report.html").read_text()
    assert len(page.encode()) == told["bytes"]
    payload = json.loads(re.search(r'id="scores">(.*?)</script>', page).group(1))
    assert payload["cases"][-1] == "case_0"  # its prediction is perfect
    assert payload["views"] == [0, 1, 2, 3, 4, 5, 6]
    means = [row[0] for row in payload["tables"][0]["rows"]]
    assert means == sorted(means)
    assert means[-1] == 1
    card = (volumes / "MODEL_CARD.md").read_text()
    assert "held out from the training" in card
    assert "- parameters: " in card


def test_a_report_tells_no_folder_and_no_name_of_a_training_case(volumes):
    assert run(["report", "-w", str(volumes)]) == 0
    for name in ("report.html", "MODEL_CARD.md"):
        text = (volumes / name).read_text()
        assert str(volumes.parent) not in text
        assert "secret_patient" not in text
        assert "other_patient" not in text


def test_the_same_run_gives_the_same_report(volumes, tmp_path):
    for name in ("a.html", "b.html"):
        assert run(["report", "-w", str(volumes), "-o", str(tmp_path / name)]) == 0
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_folders_can_be_named_one_by_one(volumes, tmp_path, capsys):
    """Predictions, truth and the images beside it, without a run."""
    data = tmp_path / "data"
    for source, target in (("images", "imagesTs"), ("labels", "labelsTs")):
        shutil.copytree(volumes / source, data / target)
    found = tmp_path / "found"
    shutil.copytree(volumes / "train" / "ttt-unet-bot" / "fold0" / "seed0" / "val", found)
    (found / "summary.json").unlink()
    (found / "cases.csv").unlink()
    assert run(["report", str(found), str(data / "labelsTs")]) == 2
    assert "segttt evaluate" in capsys.readouterr().err
    labels = ["--labels", "1=front,4=back", "--workers", "1"]
    assert run(["evaluate", str(found), str(data / "labelsTs"), *labels]) == 0
    assert run(["report", str(found), str(data / "labelsTs"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out.partition("\n{")[2].join(("{", "")))
    assert told["report"] == str(found / "evaluate" / "report.html")
    assert told["model_card"] is None
    assert told["shown"] == 7
    page = (found / "evaluate" / "report.html").read_text()
    assert "HD95 (mm)" in page
    assert 'id="curves"' not in page


def test_a_broken_case_is_named_and_the_others_go_on(run_of_volumes, capsys):
    (run_of_volumes / "images" / "case_3.nii.gz").write_bytes(b"no image")
    label = specimen.anatomy(0)[1]
    specimen.write(run_of_volumes / "labels" / "case_4.nii.gz", label[:-1])
    assert run(["report", "-w", str(run_of_volumes)]) == 4
    printed = capsys.readouterr().err
    assert "case_3: cannot be shown: case_3.nii.gz: " in printed
    assert "case_4: cannot be shown: case_4.nii.gz: does not lie on the grid" in printed
    page = (run_of_volumes / "report.html").read_text()
    assert "cannot be shown: case_3.nii.gz: " in page
    assert str(run_of_volumes) not in page
    assert page.count('id="image-') == 5


def test_failures_of_the_evaluation_are_told_without_folders(run_of_volumes):
    val = run_of_volumes / "train" / "ttt-unet-bot" / "fold0" / "seed0" / "val"
    failures = [
        {"id": "lost", "stage": "evaluate", "reason": f"{val}/lost.nii.gz: is cut."},
        {"id": "away", "stage": "evaluate", "reason": "/home/jane doe/x/away.nii.gz: is cut."},
    ]
    (val / "failures.json").write_text(json.dumps(failures))
    assert run(["report", "-w", str(run_of_volumes)]) == 0
    page = (run_of_volumes / "report.html").read_text()
    assert "<b>lost</b>: lost.nii.gz: is cut." in page
    assert "jane" not in page


def test_the_file_keeps_its_budget(tmp_path, capsys):
    random = np.random.default_rng(0)
    run_of_volumes = specimen.write_run(tmp_path / "run", 3)
    for case in specimen.case_names(3):
        shape = (50, 90, 110)
        truth = np.zeros(shape, np.uint8)
        truth[2:48, 3:87, 3:107] = 1
        image = random.normal(0, 1, shape).astype(np.float32)
        val = run_of_volumes / "train" / "ttt-unet-bot" / "fold0" / "seed0" / "val"
        for folder, content in (("images", image), ("labels", truth), (val, truth)):
            specimen.write(run_of_volumes / folder / f"{case}.nii.gz", content)
    sizes = {}
    for limit in ("3", "15"):
        assert run(["report", "-w", str(run_of_volumes), "--max-mb", limit]) == 0
        page = run_of_volumes / "report.html"
        sizes[limit] = page.stat().st_size
        assert ("mm instead of" in page.read_text()) == (limit == "3")
    assert 2.8e6 < sizes["3"] <= 3.0e6 < sizes["15"] < 15e6
    assert run(["report", "-w", str(run_of_volumes), "--max-mb", "1"]) == 2
    assert "Allow more" in capsys.readouterr().err


def test_what_is_missing_is_said(run_of_volumes, capsys):
    shutil.rmtree(run_of_volumes / "train" / "ttt-unet-bot" / "fold0" / "seed0" / "val")
    cases = [
        (["report"], "Name a run with -w"),
        (["report", "-w", str(run_of_volumes)], "holds no scores yet"),
        (["report", "-w", str(run_of_volumes), "--fold", "3"], "holds no such training"),
    ]
    for command, words in cases:
        assert run(command) == 2
        assert words in " ".join(capsys.readouterr().err.split())


def test_of_several_trainings_one_must_be_named(run_of_volumes, capsys):
    one = run_of_volumes / "train" / "ttt-unet-bot" / "fold0"
    shutil.copytree(one, one.parent / "fold1")
    assert run(["report", "-w", str(run_of_volumes)]) == 2
    assert "train/ttt-unet-bot/fold1/seed0/val" in capsys.readouterr().err
    assert run(["report", "-w", str(run_of_volumes), "--fold", "1"]) == 0
    assert "fold 1, seed 0" in (run_of_volumes / "MODEL_CARD.md").read_text()


def test_a_dry_run_writes_nothing(run_of_volumes, capsys):
    assert run(["report", "-w", str(run_of_volumes), "--dry-run"]) == 0
    assert "Would write" in capsys.readouterr().out
    assert not (run_of_volumes / "report.html").exists()


def test_numbered_objects_are_shown_as_objects(tmp_path, capsys):
    import imageio.v3 as imageio

    truth = np.zeros((40, 60), np.uint8)
    truth[5:20, 5:20], truth[5:20, 20:35], truth[25:35, 40:55] = 1, 2, 3
    for part, content in (
        ("images", truth * 80), ("labels", truth), ("found", np.where(truth == 3, 0, truth))
    ):  # fmt: skip
        (tmp_path / part).mkdir()
        for case in ("a", "b"):
            imageio.imwrite(tmp_path / part / f"{case}.png", content.astype(np.uint8))
    folders = [str(tmp_path / "found"), str(tmp_path / "labels")]
    assert run(["evaluate", *folders, "--instances", "--workers", "1"]) == 0
    assert run(["report", *folders]) == 0
    page = (tmp_path / "found" / "evaluate" / "report.html").read_text()
    paths = re.findall(r'<path class="(\w+)" d="([^"]+)"', page)
    assert [(role, path.count("M")) for role, path in paths] == [
        ("truth", 3),
        ("prediction", 2),
    ] * 2
    assert "F1 at IoU 0.5" in page


def test_the_worst_are_chosen_first_and_the_rest_is_spread():
    ids = [f"{i:03d}" for i in range(100)]
    chosen = choose(ids, 12)
    assert chosen[:6] == ids[:6]
    assert chosen[-3:] == ids[-3:]
    assert chosen[6:9] == ["021", "051", "081"]
    assert chosen == sorted(set(chosen))
    assert choose(ids, 1) == ["000"]
    assert choose(ids[:5], 12) == ids[:5]
    assert all(len(choose(ids, n)) == n for n in range(1, 101))
