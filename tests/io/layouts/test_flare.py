"""FLARE22 as it is downloaded."""

import shutil

import pytest

from segttt.config.preset import load
from segttt.io.check import check_case
from segttt.io.layouts.read import read_dataset


@pytest.mark.parametrize("home", ["", "FLARE22Train/", "Training/FLARE22_LabeledCase50/"])
def test_the_labelled_cases(lay, inside, home):
    folder = lay(
        *(f"{home}images/FLARE22_Tr_{n}_0000.nii.gz" for n in ("0001", "0002", "0003")),
        *(f"{home}labels/FLARE22_Tr_{n}.nii.gz" for n in ("0001", "0002")),
        "Unlabeled/FLARE22_UnlabeledCase1-1000/Case_00001_0000.nii.gz",
        "Validation/images/FLARETs_0001_0000.nii.gz",
    )
    dataset, failures = read_dataset(folder)
    assert (dataset.layout, dataset.name, dataset.channels) == ("flare22", "FLARE22", ("CT",))
    assert [case.id for case in dataset.cases] == ["FLARE22_Tr_0001", "FLARE22_Tr_0002"]
    assert inside(dataset.cases[0].images[0]) == f"{home}images/FLARE22_Tr_0001_0000.nii.gz"
    assert inside(dataset.cases[0].label) == f"{home}labels/FLARE22_Tr_0001.nii.gz"
    assert [failure.id for failure in failures] == ["FLARE22_Tr_0003"]


def test_organs_are_those_of_the_preset(lay):
    folder = lay("images/FLARE22_Tr_0001_0000.nii.gz", "labels/FLARE22_Tr_0001.nii.gz")
    assert read_dataset(folder)[0].labels == load("flare22").dataset.labels


def test_real_files(shared_data, tmp_path):
    scans = shared_data / "abdomen_ct"
    for part, source, suffix in (
        ("images", "ct_small", "_0000"),
        ("labels", "ct_small_flare13", ""),
    ):
        (tmp_path / part).mkdir()
        shutil.copy(scans / f"{source}.nii.gz", tmp_path / part / f"FLARE22_Tr_0001{suffix}.nii.gz")
    dataset, failures = read_dataset(tmp_path)
    assert failures == []
    assert check_case(dataset.cases[0], dataset) == []
