"""Folds on disk, from labels on disk to a training's folds."""

import json

import imageio.v3 as imageio
import numpy as np
import pytest

from segttt.cli.app import run
from segttt.commands.split import Request, split
from segttt.commands.train import split as sides
from segttt.commands.watch import Silent
from segttt.config.splits import load_splits
from segttt.errors import UsageError
from segttt.io.layouts.read import read_dataset
from segttt.planning.folds import kfold

COUNT = 12


@pytest.fixture
def data(tmp_path):
    """Twelve pictures of four patients; every third has label 2."""
    folder = tmp_path / "data"
    rows = ["id,image,label,patient"]
    for index in range(COUNT):
        label = np.full((3, 3), 0, np.uint8)
        label[0, : 1 + index % 2] = 1
        label[2, 0] = 2 * (index % 3 == 0)
        for part, array in (("images", np.zeros((3, 3), np.uint8)), ("labels", label)):
            (folder / part).mkdir(parents=True, exist_ok=True)
            imageio.imwrite(folder / part / f"{index:02d}.png", array)
        rows.append(f"{index:02d},images/{index:02d}.png,labels/{index:02d}.png,p{index // 3}")
    (folder / "cases.csv").write_text("\n".join(rows))
    return folder


def test_without_a_wish_they_are_nnunets(data):
    drawn = split(data, Request(), Silent())
    expected = kfold([f"{i:02d}" for i in range(COUNT)])
    assert [(fold.train, fold.val) for fold in drawn.folds] == list(expected)
    assert sum(drawn.labels["label_1"]) == COUNT
    assert sum(drawn.labels["label_2"]) == 4


def test_stratified_and_by_patient(data):
    drawn = split(data, Request(folds=4, stratified=True), Silent())
    assert drawn.labels["label_2"] == (1, 1, 1, 1)
    assert drawn.labels["label_1"] == (3, 3, 3, 3)
    for request in (Request(2, by_patient=True), Request(2, patient=r"(\d)")):
        if request.patient:
            drawn = split(data, request, Silent())
            assert drawn.patients == 2
        else:
            drawn = split(data / "cases.csv", request, Silent())
            assert drawn.patients == 4
            ids = [{int(one) // 3 for one in fold.val} for fold in drawn.folds]
            assert ids[0].isdisjoint(ids[1])
            assert [len(fold.val) for fold in drawn.folds] == [6, 6]
    with pytest.raises(UsageError, match="name no patients"):
        split(data, Request(by_patient=True), Silent())


def test_a_broken_label_is_left_out(data):
    (data / "labels" / "03.png").write_bytes(b"no picture")
    drawn = split(data, Request(), Silent())
    assert [one.id for one in drawn.failures] == ["03"]
    assert all("03" not in (*fold.train, *fold.val) for fold in drawn.folds)


def test_the_file_beside_the_data_is_read(data, monkeypatch, capsys):
    monkeypatch.chdir(data)
    assert run(["data", "split", ".", "--stratified", "--folds", "3", "--seed", "7"]) == 0
    assert "with label_2" in capsys.readouterr().out
    assert run(["data", "split", "."]) == 2
    assert "--force" in " ".join(capsys.readouterr().err.split())
    dataset, _ = read_dataset(data)
    assert dataset.folds == load_splits(data / "splits_final.json")
    assert sides(dataset, 1) == (dataset.folds[1].train, dataset.folds[1].val)
    assert run(["data", "split", ".", "--dry-run", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["folds"]) == 5


def test_cases_in_neither_list_are_left_out_of_a_fold(data, tmp_path):
    path = tmp_path / "own.json"
    path.write_text(json.dumps([{"train": ["00", "01"], "val": ["02"]}]))
    dataset, _ = read_dataset(data, splits=path)
    assert sides(dataset, 0) == (("00", "01"), ("02",))
    (data / "splits_final.json").write_text('[{"train": ["00"], "val": ["99"]}]')
    assert read_dataset(data, splits=path)[0].folds == dataset.folds
    with pytest.raises(UsageError, match="'99'"):
        read_dataset(data)


def test_a_plan_keeps_the_folds_that_were_given(data, tmp_path, capsys):
    path = tmp_path / "own.json"
    path.write_text(json.dumps([{"train": ["00", "01"], "val": ["02"]}]))
    folder, source = str(tmp_path / "run"), str(data / "cases.csv")
    assert run(["plan", source, "-w", folder, "--splits", str(path), "--no-measure"]) == 0
    assert run(["train", "-w", folder, "--data", source, "--folds", "all", "--dry-run"]) == 0
    assert "fold 0: 2 cases to train, 1 to validate" in capsys.readouterr().out
    path.write_text(json.dumps([{"train": ["00"], "val": ["02"]}]))
    assert run(["train", "-w", folder, "--splits", str(path), "--dry-run"]) == 2
    assert "other folds" in capsys.readouterr().err
