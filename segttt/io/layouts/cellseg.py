"""NeurIPS 2022 cell segmentation: images/cell_00001.png and labels/cell_00001_label.tiff.

Source layout: the labelled training set of the challenge (Training-labeled or Train_Labeled, and
the tuning set), as JunMa11/NeurIPS-CellSeg prepares it. Pictures are BMP, PNG, JPEG or TIFF, grey
or coloured; grey is repeated in three channels. Labels number the cells. Unlabelled folders are
left alone.
"""

from pathlib import Path

from segttt.io.layouts.description import INSTANCE_LABELS
from segttt.io.layouts.folders import label_files, pair
from segttt.io.layouts.layout import Found, Layout, first_below, holds

SUFFIX = "_label"
DEPTH = 2


def find_cellseg(folder: Path) -> Path | None:
    """The folder, or the first one at most two below it, with images and labels named so."""
    return first_below(folder, DEPTH, _is_home)


def read_cellseg(home: Path) -> Found:
    """The labelled pictures."""
    labels, doubled = label_files(home / "labels")
    images, twins = label_files(home / "images")
    cases, failures = pair(
        {name: (path,) for name, path in images.items()},
        {name.removesuffix(SUFFIX): path for name, path in labels.items()},
    )
    return Found(
        cases, [*doubled, *twins, *failures], ("R", "G", "B"), INSTANCE_LABELS, instances=True
    )


def _is_home(folder: Path) -> bool:
    return holds(folder, f"labels/cell_*{SUFFIX}.tif*") and holds(folder, "images/cell_*")


CELLSEG = Layout(
    "cellseg",
    "images/cell_00001.png with labels/cell_00001_label.tiff (NeurIPS 2022 cells)",
    find_cellseg,
    read_cellseg,
)
