"""The abdomen of Synapse (BTCV) as it is downloaded."""

import pytest

from segttt.config.preset import load
from segttt.io.layouts.read import read_dataset


@pytest.mark.parametrize(
    ("images", "labels", "image", "label"),
    [
        ("Abdomen/RawData/Training/img", "Abdomen/RawData/Training/label", "img{}", "label{}"),
        ("img", "label", "img{}", "label{}"),
        ("imagesTr", "labelsTr", "img{}", "label{}"),
        ("averaged-training-images", "averaged-training-labels", "DET{}01_avg", "DET{}01_avg_seg"),
    ],
)
def test_scans_and_labels_have_names_of_their_own(lay, inside, images, labels, image, label):
    folder = lay(
        *(f"{images}/{image.format(n)}.nii.gz" for n in ("0001", "0002")),
        *(f"{labels}/{label.format(n)}.nii.gz" for n in ("0001", "0002", "0003")),
        "Abdomen/RawData/Testing/img/img0061.nii.gz",
    )
    dataset, failures = read_dataset(folder)
    assert (dataset.layout, dataset.channels) == ("synapse", ("CT",))
    assert [case.id for case in dataset.cases] == [image.format("0001"), image.format("0002")]
    assert inside(dataset.cases[0].label) == f"{labels}/{label.format('0001')}.nii.gz"
    assert [failure.id for failure in failures] == [image.format("0003")]
    assert dataset.labels == load("synapse").dataset.labels
