"""A folder of training data, whichever of the known layouts it has."""

from pathlib import Path

import numpy as np

from segttt.cases import Failure
from segttt.config.dataset import CaseFiles, Dataset
from segttt.errors import DataError, LayoutError
from segttt.io.dicom.find import holds_dicom, is_dicom
from segttt.io.layouts.description import (
    INSTANCE_LABELS,
    channels_of,
    labels_of,
    read_description,
)
from segttt.io.layouts.msd import lists_files, read_msd
from segttt.io.layouts.nnunet import is_nnunet, read_nnunet
from segttt.io.layouts.plain import discover_channels, is_plain, read_plain
from segttt.io.volumes import read_labels

KNOWN = (
    "Expected are imagesTr and labelsTr with dataset.json (Decathlon or nnU-Net raw), "
    "or the folders images and labels."
)
NAMED = 20  # problems listed where no case is left; more would hide the first


def read_dataset(folder: Path, *, instances: bool = False) -> tuple[Dataset, list[Failure]]:
    """The dataset in place and the files that cannot be used; nothing is renamed or written.

    `instances`: the labels number objects. A `LayoutError` where nothing is usable.
    """
    if not folder.is_dir():
        raise LayoutError(f"{folder}: is no folder. {KNOWN}")
    description = folder / "dataset.json"
    if description.is_file():
        dataset, failures = _described(folder, description)
    elif is_plain(folder):
        cases, failures = read_plain(folder)
        _refuse_none(folder, cases, failures)
        dataset = Dataset(
            name=folder.absolute().name,
            layout="plain",
            channels=discover_channels(cases, folder),
            labels={},
            cases=tuple(cases),
        )
    elif is_nnunet(folder):
        raise LayoutError(f"{folder}: lacks dataset.json with channel_names and labels. Add it.")
    else:
        raise LayoutError(f"{folder}: is laid out in no way that is read. {KNOWN}")
    if instances:
        dataset = dataset.model_copy(update={"instances": True, "labels": INSTANCE_LABELS})
    return dataset, failures


def is_study(folder: Path) -> bool:
    """Whether a folder, or a file, is DICOM from a scanner rather than training data."""
    laid_out = (folder / "dataset.json").is_file() or is_plain(folder) or is_nnunet(folder)
    return not laid_out and (is_dicom(folder) or holds_dicom(folder))


def discover_labels(dataset: Dataset) -> dict[int, str]:
    """Read every label file and name the values found; unreadable ones are left to the checks."""
    found: set[int] = set()
    for files in dataset.cases:
        if files.label is None:
            continue
        try:
            labels, _ = read_labels(Path(files.label))
        except DataError:
            continue
        found.update(np.unique(labels).tolist())
    return {value: f"label_{value}" for value in sorted(found - {0})}


def _described(folder: Path, description: Path) -> tuple[Dataset, list[Failure]]:
    content = read_description(description)
    channels = channels_of(content, description)
    labels, instances = labels_of(content, description)
    if lists_files(folder, content):
        layout, (cases, failures) = "msd", read_msd(folder, content)
    elif is_nnunet(folder):
        layout, (cases, failures) = "nnunet", read_nnunet(folder, len(channels))
    else:
        raise LayoutError(f"{folder}: holds dataset.json, but not its files. {KNOWN}")
    _refuse_none(folder, cases, failures)
    name = content.get("name")
    return Dataset(
        name=name if isinstance(name, str) and name else folder.absolute().name,
        layout=layout,
        channels=channels,
        labels=labels,
        instances=instances,
        cases=tuple(cases),
    ), failures


def _refuse_none(folder: Path, cases: list[CaseFiles], failures: list[Failure]) -> None:
    if not cases:
        named = "".join(f"\n  {failure.reason}" for failure in failures[:NAMED])
        more = f"\n  ... and {len(failures) - NAMED} more" if len(failures) > NAMED else ""
        raise LayoutError(f"{folder}: holds no image with its label. {KNOWN}{named}{more}")
