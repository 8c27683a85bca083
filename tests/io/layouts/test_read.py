"""Training data in every layout."""

import json

import imageio.v3 as imageio
import numpy as np
import pytest

from segttt.errors import LayoutError
from segttt.io.layouts.read import discover_labels, is_study, read_dataset

LABELS = {"background": 0, "liver": 1, "spleen": 2}


@pytest.fixture
def touch(tmp_path):
    """Make empty files."""

    def made(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
        return tmp_path

    return made


def describe(folder, **content):
    settings = {"channel_names": {"0": "CT"}, "labels": LABELS} | content
    (folder / "dataset.json").write_text(json.dumps(settings))


def reasons(failures):
    assert {failure.stage for failure in failures} <= {"layout"}
    return {failure.id: failure.reason for failure in failures}


def test_msd(touch):
    folder = touch(
        "imagesTr/b.nii.gz", "labelsTr/b.nii.gz", "imagesTr/a.nii.gz", "labelsTr/a.nii.gz"
    )
    entries = [{"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in "ba"]
    content = {"name": "Spleen", "modality": {"1": "T2", "0": "T1"}, "training": entries}
    (folder / "dataset.json").write_text(
        json.dumps(content | {"labels": {"0": "bg", "1": "spleen"}})
    )
    dataset, failures = read_dataset(folder)
    assert failures == []
    assert (dataset.name, dataset.layout, dataset.channels) == ("Spleen", "msd", ("T1", "T2"))
    assert dataset.labels == {1: "spleen"}
    assert [case.id for case in dataset.cases] == ["a", "b"]
    assert dataset.cases[0].images == (str(folder / "imagesTr/a.nii.gz"),)
    assert dataset.cases[0].label == str(folder / "labelsTr/a.nii.gz")


def test_msd_faults_are_named(touch):
    folder = touch(
        "imagesTr/a.nii.gz", "labelsTr/a.nii.gz", "imagesTr/b.nii.gz", "imagesTr/.DS_Store",
        "imagesTr/lone.nii.gz", "labelsTr/only.nii.gz", "imagesTr/c.nii.gz", "labelsTr/c.nii.gz",
    )  # fmt: skip
    entries = [
        {"image": "imagesTr/a.nii.gz", "label": "labelsTr/a.nii.gz"},
        {"image": "imagesTr/b.nii.gz", "label": "labelsTr/b.nii.gz"},
        {"image": "imagesTr/a.nii.gz", "label": "labelsTr/a.nii.gz"},
        {"image": "../../etc/passwd", "label": "labelsTr/a.nii.gz"},
        {"image": "imagesTr/x.nii.gz"},
        "imagesTr/a.nii.gz",
    ]
    describe(folder, training=entries)
    dataset, failures = read_dataset(folder)
    assert [case.id for case in dataset.cases] == ["a"]
    found = reasons(failures)
    assert "labelsTr/b.nii.gz: does not exist" in found["b"]
    assert "listed twice" in found["a"]
    assert "no image inside" in found["training[3]"]
    assert "no image inside" in found["training[5]"]
    assert "names no label" in found["x"]
    assert "has no label" in found["lone"]
    assert "has no image" in found["only"]
    assert "Add the pair" in found["c"]
    assert len(found) == 8


def test_nnunet_with_channels(touch):
    folder = touch(
        *(f"imagesTr/{case}_{i:04d}.nii.gz" for case in ("a", "b_7") for i in range(2)),
        *(f"labelsTr/{case}.nii.gz" for case in ("a", "b_7", "half", "only")),
        "imagesTr/half_0000.nii.gz", "imagesTr/lone_0000.nii.gz", "imagesTr/lone_0001.nii.gz",
    )  # fmt: skip
    (folder / "imagesTr/half_0000.nii.gz").rename(folder / "imagesTr/half_0001.nii.gz")
    describe(folder, channel_names={"0": "T1", "1": "T2"})
    dataset, failures = read_dataset(folder)
    assert (dataset.layout, dataset.channels) == ("nnunet", ("T1", "T2"))
    assert dataset.labels == {1: "liver", 2: "spleen"}
    assert [case.id for case in dataset.cases] == ["a", "b_7"]
    assert [path[-11:-7] for path in dataset.cases[1].images] == ["0000", "0001"]
    found = reasons(failures)
    assert "lacks half_0000" in found["half"]
    assert "has no label" in found["lone"]
    assert "has no image" in found["only"]
    assert len(found) == 3


@pytest.mark.parametrize("suffix", ["", "_0000"])
def test_nnunet_with_all_colours_in_one_picture(touch, suffix):
    folder = touch(
        f"imagesTr/a{suffix}.png", "labelsTr/a.png", f"imagesTr/b{suffix}.jpg", "labelsTr/b.png"
    )
    describe(folder, channel_names={"0": "R", "1": "G", "2": "B"}, file_ending_images=".jpg")
    dataset, failures = read_dataset(folder)
    assert failures == []
    assert [(case.id, len(case.images)) for case in dataset.cases] == [("a", 1), ("b", 1)]


def test_a_name_that_only_looks_like_a_channel(touch):
    folder = touch(
        *(f"{part}/slice_{i:04d}.png" for part in ("images", "labels") for i in (1, 2, 30))
    )
    imageio.imwrite(folder / "images/slice_0001.png", np.zeros((4, 4), np.uint8))
    dataset, failures = read_dataset(folder)
    assert failures == []
    assert [case.id for case in dataset.cases] == ["slice_0001", "slice_0002", "slice_0030"]


def test_plain(touch, save):
    folder = touch("images/b.tif", "labels/b.png", "images/notes.txt", "labels/c.png")
    for part in ("images", "labels"):
        imageio.imwrite(folder / part / "a.png", np.zeros((4, 5, 3), np.uint8))
    dataset, failures = read_dataset(folder)
    assert (dataset.layout, dataset.labels) == ("plain", {})
    assert dataset.name == folder.name
    assert dataset.channels == ("R", "G", "B")
    assert [case.id for case in dataset.cases] == ["a", "b"]
    assert "has no image" in reasons(failures)["c"]


def test_plain_scans_with_channels(touch, save, voxels):
    for i in range(2):
        save(f"images/a_{i:04d}.nii.gz", voxels)
    folder = touch("labels/a.nii.gz")
    dataset, _ = read_dataset(folder)
    assert dataset.channels == ("image_0", "image_1")
    assert len(dataset.cases[0].images) == 2


def test_plain_without_a_readable_image(touch):
    with pytest.raises(LayoutError, match="no image that can be read"):
        read_dataset(touch("images/a.nii.gz", "labels/a.nii.gz"))


def test_two_files_of_one_name_and_names_that_differ_by_case(touch):
    folder = touch(
        "imagesTr/a_0000.nii.gz", "imagesTr/a_0000.nii", "labelsTr/a.nii.gz",
        "imagesTr/B_0000.nii.gz", "labelsTr/B.nii.gz",
        "imagesTr/b_0000.nii.gz", "labelsTr/b.nii.gz",
        "imagesTr/c_0000.nii.gz", "labelsTr/c.nii.gz", "labelsTr/c.nii",
        "imagesTr/d_0000.nii.gz", "labelsTr/d.nii.gz",
    )  # fmt: skip
    describe(folder)
    dataset, failures = read_dataset(folder)
    assert [case.id for case in dataset.cases] == ["d"]
    found = reasons(failures)
    assert "share one name" in found["a_0000"]
    assert "share one name" in found["c"]
    assert "differs from b by case" in found["B"]


def test_nothing_is_renamed_or_written(touch):
    folder = touch("imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz")
    describe(folder)
    before = sorted(path for path in folder.rglob("*"))
    read_dataset(folder)
    assert sorted(path for path in folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"0": "background", "2": "b", "1": "a"}, {1: "a", 2: "b"}),
        ({"background": 0, "b": 2, "a": 1}, {1: "a", 2: "b"}),
        ({"background": "0", "liver": "300"}, {300: "liver"}),
    ],
)
def test_labels_either_way_round(touch, labels, expected):
    folder = touch("imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz")
    describe(folder, labels=labels)
    dataset, _ = read_dataset(folder)
    assert dataset.labels == expected
    assert not dataset.instances


def test_numbered_objects(touch):
    folder = touch("imagesTr/a_0000.png", "labelsTr/a.png")
    describe(folder, labels={"0": "background", "1..N": "nucleus"})
    dataset, _ = read_dataset(folder)
    assert dataset.instances
    assert dataset.labels == {1: "interior", 2: "boundary"}
    describe(folder)
    assert read_dataset(folder, instances=True)[0].instances
    assert not read_dataset(folder)[0].instances


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"labels": {"whole": [1, 2]}}, "Regions"),
        ({"labels": {"liver": 1.5}}, "no whole number"),
        ({"labels": {"liver": -1}}, "no whole number"),
        ({"labels": {"a": 1, "b": 1}}, "twice"),
        ({"labels": {"a": 1, "ignore": 2}}, "ignore"),
        ({"labels": []}, "lacks labels"),
        ({"channel_names": {}}, "lacks channel_names"),
        ({"channel_names": {"x": "CT"}}, "lacks channel_names"),
    ],
)
def test_unusable_descriptions(touch, content, words):
    folder = touch("imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz")
    describe(folder, **content)
    with pytest.raises(LayoutError, match=rf"dataset\.json: .*{words}"):
        read_dataset(folder)


@pytest.mark.parametrize("text", ["", "{", "[1]", "\xff", "[" * 100_000])
def test_no_json_at_all(touch, text):
    folder = touch("imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz")
    (folder / "dataset.json").write_text(text, encoding="latin-1")
    with pytest.raises(LayoutError, match=r"dataset\.json"):
        read_dataset(folder)


def test_folders_that_hold_nothing(touch, tmp_path):
    with pytest.raises(LayoutError, match="is neither a folder nor a manifest"):
        read_dataset(tmp_path / "none")
    with pytest.raises(LayoutError, match="laid out in no way"):
        read_dataset(tmp_path)
    folder = touch("imagesTr/a_0000.nii.gz", "labelsTr/b.nii.gz")
    with pytest.raises(LayoutError, match=r"lacks dataset\.json"):
        read_dataset(folder)
    describe(folder)
    with pytest.raises(LayoutError, match=r"(?s)no image with its label.*a_0000.*b\.nii"):
        read_dataset(folder)


def test_discover_labels(touch, save):
    for name, value in (("a", 3), ("b", 7)):
        save(f"images/{name}.nii.gz", np.ones((2, 3, 4), np.uint8))
        save(f"labels/{name}.nii.gz", np.array([[[0, value, 1]]], np.uint8))
    folder = touch("images/c.nii.gz", "labels/c.nii.gz")
    dataset, _ = read_dataset(folder)
    assert discover_labels(dataset) == {1: "label_1", 3: "label_3", 7: "label_7"}


@pytest.mark.parametrize("images", ["images", "image", "imgs", "img"])
@pytest.mark.parametrize("label", ["labels/{}", "label/{}_label", "masks/{}_mask", "mask/{}-label"])
def test_plain_folders_under_other_names(touch, images, label):
    names = ("a", "b_seg", "c")
    folder = touch(*(f"{images}/{name}.png" for name in names))
    touch(*(f"{label.format(name)}.png" for name in names))
    imageio.imwrite(folder / images / "a.png", np.zeros((4, 5), np.uint8))
    dataset, failures = read_dataset(folder)
    assert (dataset.layout, failures) == ("plain", [])
    found = {case.id: case.label for case in dataset.cases}
    assert found == {name: f"{folder}/{label.format(name)}.png" for name in names}


def test_two_labels_of_one_image_are_named(touch):
    folder = touch("images/a.png", "labels/a_seg.png", "labels/a_mask.png", "images/b.png")
    imageio.imwrite(folder / "images/b.png", np.zeros((4, 5), np.uint8))
    touch("labels/b.png")
    dataset, failures = read_dataset(folder)
    assert [case.id for case in dataset.cases] == ["b"]
    assert "share one name" in reasons(failures)["a"]


def test_what_is_training_data_is_no_study_from_a_scanner(touch):
    folder = touch("Training/images/FLARE22_Tr_0001_0000.nii.gz", "Training/labels/x.nii.gz")
    (folder / "slice").write_bytes(bytes(128) + b"DICM")
    assert not is_study(folder)
    assert is_study(folder / "slice")
    (folder / "Training").rename(folder / "Other")
    (folder / "Other" / "images").rename(folder / "Other" / "pictures")
    assert is_study(folder)


def test_a_folder_of_no_known_layout_is_told_what_was_looked_for(touch):
    folder = touch("a/t1.nii.gz", "a/seg.nii.gz")
    words = (
        r"(?s)AMOS22.*Decathlon.*nnU-Net raw.*FLARE22.*NeurIPS.*Synapse.*EndoVis.*segttt data init"
    )
    with pytest.raises(LayoutError, match=words):
        read_dataset(folder)
