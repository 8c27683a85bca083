"""What is wrong with a case, in words for its owner."""

import zlib
from pathlib import Path

from segttt.cases import Case, Volume
from segttt.config.dataset import CaseFiles, Dataset
from segttt.errors import DataError
from segttt.geometry.slabs import value_counts
from segttt.io.names import ending
from segttt.io.nifti import header_voxels
from segttt.io.volumes import read_volume

BYTES_PER_VOXEL = 16
"""At the peak, measured on a CT of 75 million voxels: 7 while it is checked and a fingerprint is
taken; while it is prepared 8, with a z-score inside a mask 11. What resampling takes beside it is
told by `segttt.planning.budget.resampling_bytes`."""
WARNING = "warning: "
"""Problems that start so do not keep a case from being used."""


def case_of(files: CaseFiles) -> Case:
    """The case whose files a dataset names."""
    label = None if files.label is None else Path(files.label)
    masks = tuple((value, Path(one)) for value, names in files.masks.items() for one in names)
    return Case(files.id, tuple(Path(image) for image in files.images), label, masks)


def working_bytes(files: CaseFiles) -> int:
    """What reading a case and preparing it on its own grid take, by headers and file sizes."""
    voxels = sum(_voxels_about(Path(image)) for image in files.images)
    return voxels * BYTES_PER_VOXEL


def least_bytes(case: Case) -> int:
    """What the image of a case takes at least once it is read, as far as a header tells."""
    volumes = [path for path in case.images if ending(path).startswith(".nii")]
    return 4 * sum(_voxels_about(path) for path in volumes)


def _voxels_about(path: Path) -> int:
    """The voxels that a header tells, or as many as the files have bytes."""
    try:
        if ending(path).startswith(".nii"):
            return header_voxels(path)
        if path.is_dir():
            return sum(one.stat().st_size for one in path.iterdir() if one.is_file())
        return path.stat().st_size
    except (OSError, EOFError, zlib.error, DataError):
        return 0  # what is wrong with it is told where it is read


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
    known = {0, *dataset.labels}
    strange = [(v, n) for v, n in value_counts(volume.label).items() if v not in known]
    if not strange:
        return []
    found = ", ".join(f"{v} ({n} voxels)" for v, n in strange[:8])
    more = f" and {len(strange) - 8} more values" if len(strange) > 8 else ""
    declared = ", ".join(str(value) for value in sorted(dataset.labels))
    return [
        f"{volume.case.label}: holds the undeclared values {found}{more}; declared are 0, "
        f"{declared}. Declare them in dataset.json, or correct the label."
    ]


def _per_channel(volume: Volume) -> tuple[Path, ...]:
    images = volume.case.images
    return images * len(volume.image) if len(images) == 1 else images
