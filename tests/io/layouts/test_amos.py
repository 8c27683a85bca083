"""AMOS22 as it is downloaded: CT and MR in one folder."""

import json

import pytest

from segttt.config.preset import load
from segttt.errors import LayoutError
from segttt.io.layouts.read import read_dataset
from segttt.planning.folds import kfold


@pytest.fixture
def amos(lay):
    names = {"Tr": ("0001", "0499", "0500"), "Va": ("0008", "0600"), "Ts": ("0300",)}
    files = [f"images{part}/amos_{n}.nii.gz" for part, ids in names.items() for n in ids]
    labels = [f"labels{part}/amos_{n}.nii.gz" for part in ("Tr", "Va") for n in names[part]]
    folder = lay(*files, *labels)
    content = {
        "name": "AMOS",
        "modality": {"0": "CT"},
        "labels": {str(v): f"name {v}" for v in range(16)},
        "training": [
            {"image": f"./imagesTr/amos_{n}.nii.gz", "label": f"./labelsTr/amos_{n}.nii.gz"}
            for n in names["Tr"]
        ],
        "validation": [{"image": "./imagesVa/amos_0008.nii.gz"}],
    }
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("channels", "ids"),
    [(("CT",), ["0001", "0008", "0499"]), (("MR",), ["0500", "0600"])],
)
def test_a_preset_chooses_the_modality(amos, channels, ids):
    dataset, failures = read_dataset(amos, channels=channels)
    assert failures == []
    assert (dataset.layout, dataset.channels) == ("amos22", channels)
    assert [case.id for case in dataset.cases] == [f"amos_{n}" for n in ids]


def test_without_one_a_mixed_folder_is_refused(amos):
    with pytest.raises(LayoutError, match=r"mixes CT and MR.*--preset.*amos22-ct.*--cases"):
        read_dataset(amos)


def test_a_list_of_cases_chooses_too(amos):
    dataset, _ = read_dataset(amos, only=["amos_0500"])
    assert (dataset.channels, [case.id for case in dataset.cases]) == (("MR",), ["amos_0500"])


def test_one_list_of_folds_may_serve_both(amos):
    folds = [{"train": ["amos_0001", "amos_0500"], "val": ["amos_0499", "amos_0600"]}]
    (amos / "splits_final.json").write_text(json.dumps(folds))
    dataset, _ = read_dataset(amos, channels=("MR",))
    ids = [case.id for case in dataset.cases]
    assert kfold(ids, given=dataset.folds) == ((("amos_0500",), ("amos_0600",)),)


def test_one_modality_needs_no_word(lay):
    dataset, _ = read_dataset(lay("imagesTr/amos_0510.nii.gz", "labelsTr/amos_0510.nii.gz"))
    assert dataset.channels == ("MR",)


def test_organs_are_those_of_the_preset(amos):
    dataset, _ = read_dataset(amos, channels=("CT",))
    assert dataset.labels == load("amos22-ct").dataset.labels


def test_other_values_are_named_by_dataset_json(amos):
    content = json.loads((amos / "dataset.json").read_text())
    (amos / "dataset.json").write_text(json.dumps(content | {"labels": {"0": "bg", "1": "liver"}}))
    assert read_dataset(amos, channels=("CT",))[0].labels == {1: "liver"}


def test_nnunets_names_are_in_nnunets_layout(lay):
    folder = lay("imagesTr/amos_0507_0000.nii.gz", "labelsTr/amos_0507.nii.gz")
    content = {"channel_names": {"0": "MR"}, "labels": {"background": 0, "liver": 1}}
    (folder / "dataset.json").write_text(json.dumps(content))
    dataset, _ = read_dataset(folder)
    assert (dataset.layout, dataset.cases[0].id) == ("nnunet", "amos_0507")
