"""AMOS22: imagesTr/amos_0001.nii.gz with labelsTr, imagesVa with labelsVa; 15 organs, CT and MR.

Source layout: amos22.zip of the challenge (zenodo.org/records/7262581). Ids below 500 are CT, the
others MR, whatever its dataset.json says of the modality; its names of labels count only where its
values are not the challenge's. Validation cases that have labels are cases like the others, as in
nnU-Net's conversion. Test images are left alone. Copies with nnU-Net's names
(amos_0001_0000.nii.gz) are in nnU-Net's layout.
"""

import re
from pathlib import Path

from segttt.io.layouts.description import labels_of, read_description
from segttt.io.layouts.folders import refuse_lookalikes
from segttt.io.layouts.layout import Found, Layout, holds
from segttt.io.layouts.nnunet import read_pairs

ORGANS = dict(
    enumerate(
        (
            "spleen", "right_kidney", "left_kidney", "gallbladder", "esophagus", "liver", "stomach",
            "aorta", "ivc", "pancreas", "right_adrenal", "left_adrenal", "duodenum", "bladder",
            "prostate_uterus",
        ),
        start=1,
    )
)  # fmt: skip
FIRST_MR = 500


def find_amos(folder: Path) -> Path | None:
    """The folder, where it holds imagesTr and labelsTr under the challenge's names."""
    name = "amos_[0-9][0-9][0-9][0-9].nii.gz"
    named = holds(folder, f"imagesTr/{name}") and holds(folder, f"labelsTr/{name}")
    return folder if named else None


def read_amos(home: Path) -> Found:
    """The labelled cases and the modality of each."""
    description = home / "dataset.json"
    labels = ORGANS
    if description.is_file():
        declared, _ = labels_of(read_description(description), description)
        labels = ORGANS if declared.keys() == ORGANS.keys() else declared
    cases, failures = read_pairs(home / "imagesTr", home / "labelsTr", 1)
    if (home / "imagesVa").is_dir() and (home / "labelsVa").is_dir():
        more, faults = read_pairs(home / "imagesVa", home / "labelsVa", 1)
        known = {case.id for case in cases}
        cases += [case for case in more if case.id not in known]
        failures += faults
    kept, failures = refuse_lookalikes(sorted(cases, key=lambda one: one.id), failures)
    return Found(
        kept,
        failures,
        labels=labels,
        name="AMOS22",
        modalities={c.id: _modality(c.id) for c in kept},
    )


def _modality(case: str) -> str:
    number = re.search(r"\d{4}", case)
    return "MR" if number and int(number[0]) >= FIRST_MR else "CT"


AMOS22 = Layout(
    "amos22",
    "imagesTr/amos_0001.nii.gz with labelsTr/amos_0001.nii.gz, and imagesVa with labelsVa (AMOS22)",
    find_amos,
    read_amos,
)
