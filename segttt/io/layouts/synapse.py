"""Synapse (BTCV abdomen): img/img0001.nii.gz and label/label0001.nii.gz, 13 organs in CT.

Source layouts: Abdomen/RawData.zip of syn3193805 (RawData/Training/img and label), its copies under
imagesTr and labelsTr, and the averaged-training-images (DET0000101_avg.nii.gz) with
averaged-training-labels (DET0000101_avg_seg.nii.gz). Testing folders and registered pairs
(img0001-0002.nii.gz) are left alone. Order of the organs: the challenge's.
"""

import re
from pathlib import Path

from segttt.io.layouts.folders import image_files, label_files, pair
from segttt.io.layouts.layout import Found, Layout, first_below
from segttt.io.names import stem

ORGANS = dict(
    enumerate(
        (
            "spleen", "right_kidney", "left_kidney", "gallbladder", "esophagus", "liver", "stomach",
            "aorta", "ivc", "portal_splenic_veins", "pancreas", "right_adrenal", "left_adrenal",
        ),
        start=1,
    )
)  # fmt: skip
FOLDERS = (
    ("img", "label"),
    ("imagesTr", "labelsTr"),
    ("averaged-training-images", "averaged-training-labels"),
)
IMAGE = re.compile(r"img\d{4}|DET\d+_avg")
LABEL = re.compile(r"label\d{4}|DET\d+_avg_seg")
DEPTH = 3


def find_synapse(folder: Path) -> Path | None:
    """The folder, or the first one at most three below it, with images and labels named so."""
    return first_below(folder, DEPTH, lambda home: bool(_folders(home)))


def read_synapse(home: Path) -> Found:
    """The labelled cases."""
    place, truth = _folders(home)[0]
    images = {stem(one): (one,) for one in image_files(place) if IMAGE.fullmatch(stem(one))}
    found, doubled = label_files(truth)
    labels = {_image_of(name): path for name, path in found.items() if LABEL.fullmatch(name)}
    cases, failures = pair(images, labels)
    return Found(cases, [*doubled, *failures], ("CT",), ORGANS, name="Synapse")


def _folders(home: Path) -> list[tuple[Path, Path]]:
    """The pairs of folders that hold images and labels of these names."""
    pairs = [(home / images, home / labels) for images, labels in FOLDERS]
    return [(one, two) for one, two in pairs if _holds(one, IMAGE) and _holds(two, LABEL)]


def _holds(place: Path, name: re.Pattern[str]) -> bool:
    return any(name.fullmatch(stem(one)) for one in image_files(place))


def _image_of(label: str) -> str:
    """The image's name: img0001 of label0001, DET0000101_avg of DET0000101_avg_seg."""
    return label.removesuffix("_seg").replace("label", "img")


SYNAPSE = Layout(
    "synapse",
    "img/img0001.nii.gz with label/label0001.nii.gz (Synapse, BTCV)",
    find_synapse,
    read_synapse,
)
