"""nnU-Net's raw layout: imagesTr, labelsTr and dataset.json."""

from pathlib import Path

from segttt.cases import Failure
from segttt.config.dataset import CaseFiles
from segttt.io.layouts.folders import group, image_files, label_files, pair, series_folders


def is_nnunet(folder: Path) -> bool:
    """Whether the folder holds imagesTr and labelsTr."""
    return (folder / "imagesTr").is_dir() and (folder / "labelsTr").is_dir()


def read_nnunet(folder: Path, channels: int) -> tuple[list[CaseFiles], list[Failure]]:
    """Complete cases sorted by id, and the files that lack a partner or a channel."""
    return read_pairs(folder / "imagesTr", folder / "labelsTr", channels)


def read_pairs(
    images: Path, labels: Path, channels: int | None
) -> tuple[list[CaseFiles], list[Failure]]:
    """Pair two folders by name; `channels` None: as many as each case has."""
    by_id, doubled = label_files(labels)
    found = [*image_files(images), *series_folders(images)]
    groups, faults = group(found, channels, by_id)
    broken = {fault.id for fault in (*doubled, *faults)}
    whole = {case: files for case, files in groups.items() if case not in broken}
    kept = {case: path for case, path in by_id.items() if case not in broken}
    cases, lonely = pair(whole, kept)
    return cases, [*doubled, *faults, *lonely]
