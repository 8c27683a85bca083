"""Folders of no known layout."""

import pytest

from segttt.io.layouts.guess import guess


def told(folder, inside):
    found = guess(folder)
    pairs = {
        case.id: (*(inside(one) for one in case.images), inside(case.label)) for case in found.cases
    }
    return pairs, found.channels, [failure.reason for failure in found.failures]


def test_one_folder_per_patient_with_channels(lay, inside):
    kinds = ("flair", "t1", "t1ce", "t2", "seg")
    folder = lay(
        *(f"BraTS_{n}/BraTS_{n}_{kind}.nii.gz" for n in (1, 2) for kind in kinds),
        *(f"BraTS_3/BraTS_3_{kind}.nii.gz" for kind in ("flair", "t1", "seg")),
        "names.csv",
    )
    pairs, channels, left = told(folder, inside)
    assert channels == kinds[:4]
    assert pairs == {
        f"BraTS_{n}": tuple(f"BraTS_{n}/BraTS_{n}_{k}.nii.gz" for k in kinds) for n in (1, 2)
    }
    assert len(left) == 2
    assert "lacks the image t1ce, t2" in left[1]


def test_one_folder_per_patient_with_plain_names(lay, inside):
    folder = lay(*(f"{p}/{one}.nii.gz" for p in ("p1", "p2") for one in ("ct", "pet", "mask")))
    pairs, channels, _ = told(folder, inside)
    assert channels == ("ct", "pet")
    assert pairs["p2"] == ("p2/ct.nii.gz", "p2/pet.nii.gz", "p2/mask.nii.gz")


@pytest.mark.parametrize(
    ("image", "label", "case"),
    [
        ("imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz", "a"),
        ("train/images/a.png", "train/masks/a.png", "a"),
        ("a.jpg", "a_mask.png", "a"),
        ("x/a.nrrd", "x/a-label.nrrd", "a"),
        ("img0001.nii.gz", "label0001.nii.gz", "img0001"),
        ("scan0.nii.gz", "scan0-label.nii.gz", "scan0"),
        ("a_image.mha", "a_segmentation.mha", "a"),
        ("averaged-training-images/a.nii", "averaged-training-labels/a_seg.nii", "a"),
        ("BraTS-GLI-00000-000-t1c.nii.gz", "BraTS-GLI-00000-000-seg.nii.gz", "BraTS-GLI-00000-000"),
    ],
)
def test_names_that_people_give(lay, inside, image, label, case):
    pairs, channels, left = told(lay(image, label), inside)
    assert pairs == {case: (image, label)}
    assert (channels, left) == ((), [])


def test_what_fits_nowhere_is_left_out(lay, inside):
    folder = lay(
        "a.png", "a_2.png", "a_mask.png", "b.png", "c_mask.png", "d.png", "d_mask.png", "d_seg.png",
        "imagesTs/a.png", ".DS_Store", "._a.png",
    )  # fmt: skip
    pairs, _, left = told(folder, inside)
    assert pairs == {"a": ("a.png", "a_mask.png")}
    words = " ".join(left)
    for name in (
        "a_2.png",
        "b.png",
        "c_mask.png",
        "d.png",
        "d_mask.png",
        "d_seg.png",
        "imagesTs/a.png",
    ):
        assert f"{folder / name}:" in words
    assert len(left) == 7


def test_equal_names_in_several_folders(lay, inside):
    folder = lay(*(f"site{s}/{part}/a.png" for s in (1, 2) for part in ("images", "labels")))
    pairs, _, _ = told(folder, inside)
    assert list(pairs) == ["site1_a", "site2_a"]


def test_the_longest_name_owns_an_image(lay, inside):
    folder = lay("a_seg.png", "a_1_seg.png", "a.png", "a_1.png")
    pairs, _, left = told(folder, inside)
    assert pairs == {"a": ("a.png", "a_seg.png"), "a_1": ("a_1.png", "a_1_seg.png")}
    assert left == []
