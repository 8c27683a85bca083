"""Any folder becomes a manifest that is read like a dataset."""

import json

import imageio.v3 as imageio
import numpy as np
import pytest

from segttt.cli.app import run
from segttt.commands.init import init, write
from segttt.errors import LayoutError, UsageError
from segttt.io.layouts.read import read_dataset


@pytest.fixture
def clinic(tmp_path):
    """Two visits of two patients, each a picture with its mask."""
    for patient in (1, 2):
        for visit in (1, 2):
            folder = tmp_path / "clinic" / f"p{patient}"
            folder.mkdir(parents=True, exist_ok=True)
            label = np.array([[0, patient], [3, 3]], np.uint8)
            imageio.imwrite(folder / f"v{visit}.png", np.zeros((2, 2, 3), np.uint8))
            imageio.imwrite(folder / f"v{visit}_mask.png", label)
    return tmp_path / "clinic"


def test_the_manifest_is_read_back(clinic, tmp_path):
    out = tmp_path / "cases.json"
    listed = init(clinic, out, patient=r"(p\d)")
    write(listed, out)
    dataset, failures = read_dataset(out)
    assert (failures, listed.left_out, listed.layout) == ([], [], None)
    assert dataset.cases == listed.dataset.cases
    assert [case.id for case in dataset.cases] == ["p1_v1", "p1_v2", "p2_v1", "p2_v2"]
    assert [case.patient for case in dataset.cases] == ["p1", "p1", "p2", "p2"]
    assert dataset.labels == {1: "label_1", 2: "label_2", 3: "label_3"}
    assert (dataset.name, dataset.channels) == ("clinic", ("R", "G", "B"))
    assert json.loads(out.read_text())["cases"][0]["image"] == "clinic/p1/v1.png"


def test_paths_outside_the_manifests_folder_are_absolute(clinic, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    out = tmp_path / "elsewhere" / "cases.json"
    listed = init(clinic, out)
    assert listed.manifest.cases[0].image == (str(clinic / "p1/v1.png"),)


def test_a_known_layout_keeps_its_names(tmp_path):
    for name in ("imagesTr/a_0000.png", "labelsTr/a.png"):
        (tmp_path / name).parent.mkdir()
        imageio.imwrite(tmp_path / name, np.zeros((2, 2), np.uint8))
    content = {"channel_names": {"0": "grey"}, "labels": {"background": 0, "liver": 1}}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    listed = init(tmp_path, tmp_path / "cases.json")
    assert (listed.layout, listed.manifest.channels) == ("nnunet", ("grey",))
    assert listed.manifest.labels == {1: "liver"}
    numbered = init(tmp_path, tmp_path / "cases.json", instances=True)
    assert numbered.manifest.instances
    assert numbered.manifest.labels == {}


def test_a_file_is_not_replaced_by_chance(clinic, tmp_path):
    out = tmp_path / "cases.json"
    listed = init(clinic, out)
    write(listed, out)
    with pytest.raises(UsageError, match="exists already"):
        write(listed, out)
    write(listed, out, force=True)
    with pytest.raises(UsageError, match=r"name it cases\.json"):
        write(listed, tmp_path / "cases.csv")


def test_a_folder_without_pairs_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(LayoutError, match=r"(?s)no image with a label.*a\.png: has no label"):
        init(tmp_path, tmp_path / "cases.json")


def test_on_the_command_line(clinic, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["data", "init", "clinic", "--dry-run"]) == 0
    assert not (tmp_path / "cases.json").exists()
    assert "told by names" in capsys.readouterr().out
    assert run(["data", "init", "clinic", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["manifest"]["cases"]) == 4
    assert run(["data", "init", "clinic"]) == 2
    capsys.readouterr()
    assert run(["data", "check", "cases.json"]) == 0
    assert "4 cases can be used, 0 cannot." in capsys.readouterr().out
