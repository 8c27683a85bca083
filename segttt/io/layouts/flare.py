"""FLARE22: images/FLARE22_Tr_0001_0000.nii.gz and labels/FLARE22_Tr_0001.nii.gz, 13 organs in CT.

Source layout: FLARE22Train.zip of the challenge (zenodo.org/records/7860267), and the organisers'
tree Training/FLARE22_LabeledCase50 beside its unlabelled and validation folders, which are left
alone. Order of the organs: the challenge's.
"""

from pathlib import Path

from segttt.io.layouts.layout import Found, Layout, first_below, holds
from segttt.io.layouts.nnunet import read_pairs

ORGANS = dict(
    enumerate(
        (
            "liver", "right_kidney", "spleen", "pancreas", "aorta", "ivc", "right_adrenal",
            "left_adrenal", "gallbladder", "esophagus", "stomach", "duodenum", "left_kidney",
        ),
        start=1,
    )
)  # fmt: skip
DEPTH = 2


def find_flare(folder: Path) -> Path | None:
    """The folder, or the first one at most two below it, with images and labels named so."""
    return first_below(folder, DEPTH, _is_home)


def read_flare(home: Path) -> Found:
    """The labelled cases."""
    cases, failures = read_pairs(home / "images", home / "labels", 1)
    return Found(cases, failures, ("CT",), ORGANS, name="FLARE22")


def _is_home(folder: Path) -> bool:
    return holds(folder, "images/FLARE22_Tr_*") and (folder / "labels").is_dir()


FLARE22 = Layout(
    "flare22",
    "images/FLARE22_Tr_0001_0000.nii.gz with labels/FLARE22_Tr_0001.nii.gz (FLARE22)",
    find_flare,
    read_flare,
)
