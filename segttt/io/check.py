"""What is wrong with a case, in words for its owner."""

from pathlib import Path

import numpy as np

from segttt.cases import Case, Volume
from segttt.config.dataset import CaseFiles, Dataset
from segttt.errors import DataError
from segttt.io.volumes import read_volume

WARNING = "warning: "
"""Problems that start so do not keep a case from being used."""


def case_of(files: CaseFiles) -> Case:
    """The case whose files a dataset names."""
    label = None if files.label is None else Path(files.label)
    masks = tuple((value, Path(one)) for value, names in files.masks.items() for one in names)
    return Case(files.id, tuple(Path(image) for image in files.images), label, masks)


def check_case(files: CaseFiles, dataset: Dataset) -> list[str]:
    """Read the case fully and name its problems, each with a remedy; empty where all is well."""
    try:
        volume = read_volume(case_of(files), len(dataset.channels), names=dataset.labels)
    except DataError as error:
        return [str(error)]
    problems = undeclared_labels(volume, dataset)
    for name, path, channel in zip(
        dataset.channels, _per_channel(volume), volume.image, strict=True
    ):
        if channel.min() == channel.max():
            problems.append(f"{WARNING}{path}: channel {name} is {channel.flat[0]:g} everywhere.")
    if volume.label is not None and not volume.label.any():
        where = files.label or files.id
        problems.append(f"{WARNING}{where}: holds background only. Is that meant?")
    return problems


def undeclared_labels(volume: Volume, dataset: Dataset) -> list[str]:
    """Label values that the dataset does not declare, with their voxel counts."""
    if volume.label is None or dataset.instances or not dataset.labels:
        return []
    known = np.array((0, *dataset.labels))
    strange = volume.label[~np.isin(volume.label, known)]
    if not strange.size:
        return []
    values, counts = np.unique(strange, return_counts=True)
    found = ", ".join(f"{v} ({n} voxels)" for v, n in zip(values[:8], counts[:8], strict=True))
    more = f" and {len(values) - 8} more values" if len(values) > 8 else ""
    declared = ", ".join(str(value) for value in sorted(dataset.labels))
    return [
        f"{volume.case.label}: holds the undeclared values {found}{more}; declared are 0, "
        f"{declared}. Declare them in dataset.json, or correct the label."
    ]


def _per_channel(volume: Volume) -> tuple[Path, ...]:
    images = volume.case.images
    return images * len(volume.image) if len(images) == 1 else images
