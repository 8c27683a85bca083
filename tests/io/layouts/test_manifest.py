"""Manifests read in place."""

import json

import pytest

from segttt.errors import LayoutError
from segttt.io.layouts.read import read_dataset


def test_csv_and_json_say_the_same(lay, save, voxels):
    folder = lay("labels/a.nii.gz", "labels/b.nii.gz", "b 1.nii.gz", "b 2.nii.gz")
    for i in (1, 2):
        save(f"a {i}.nii.gz", voxels)
    table, listed = folder / "cases.csv", folder / "cases.json"
    outside = folder / "labels" / "b.nii.gz"
    table.write_text(
        "id,image_0,image_1,label,patient,fold\r\n"
        "b,b 1.nii.gz,b 2.nii.gz,labels/b.nii.gz,P,1\r\n"
        f"a,a 1.nii.gz,a 2.nii.gz,{outside},,0\r\n"
    )
    cases = [
        {"id": "a", "image": ["a 1.nii.gz", "a 2.nii.gz"], "label": str(outside), "fold": 0},
        {"id": "b", "image": ["b 1.nii.gz", "b 2.nii.gz"], "label": "labels/b.nii.gz",
         "patient": "P", "fold": 1},
    ]  # fmt: skip
    listed.write_text(json.dumps({"cases": cases}))
    ours, failures = read_dataset(table)
    assert failures == []
    assert ours.layout == "manifest"
    assert ours.channels == ("image_0", "image_1")
    assert ours.cases[0].images[0] == str(folder / "a 1.nii.gz")
    assert ours.cases[0].label == str(outside)
    assert [(one.train, one.val) for one in ours.folds] == [(("b",), ("a",)), (("a",), ("b",))]
    theirs, _ = read_dataset(listed)
    assert theirs.cases == ours.cases
    assert {fold.val for fold in theirs.folds} == {fold.val for fold in ours.folds}


def test_names_of_channels_and_labels(lay):
    folder = lay("a.png", "a_mask.png")
    content = {
        "name": "mine", "channels": ["R", "G", "B"], "labels": {"0": "background", "2": "polyp"},
        "cases": [{"id": "x", "image": "a.png", "label": "a_mask.png"}],
    }  # fmt: skip
    (folder / "cases.json").write_text(json.dumps(content))
    dataset, _ = read_dataset(folder / "cases.json")
    assert (dataset.name, dataset.channels, dataset.labels) == (
        "mine",
        ("R", "G", "B"),
        {2: "polyp"},
    )


def test_missing_files_are_named_with_their_line(lay):
    folder = lay("a.png", "m.png")
    path = folder / "cases.csv"
    path.write_text("id;image;label\na;a.png;m.png\nb;not here.png;m.png\nc;a.png;\n")
    with pytest.raises(LayoutError, match="no image that can be read"):
        read_dataset(path)  # the file a.png is empty
    path = folder / "cases.json"
    entries = [
        {"id": "a", "image": "a.png", "label": "m.png"},
        {"id": "b", "image": "not here.png", "label": "m.png"},
        {"id": "c", "image": "a.png"},
    ]
    path.write_text(json.dumps({"channels": ["grey"], "cases": entries}))
    dataset, failures = read_dataset(path)
    assert [case.id for case in dataset.cases] == ["a"]
    assert [one.id for one in failures] == ["b", "c"]
    assert f"entry 1: '{folder}/not here.png' does not exist" in failures[0].reason
    assert "entry 2: has no label" in failures[1].reason
