"""nnU-Net's raw layout: imagesTr, labelsTr and dataset.json."""

from pathlib import Path

from segttt.cases import Failure
from segttt.config.dataset import CaseFiles
from segttt.io.layouts.description import channels_of, described, read_description
from segttt.io.layouts.folders import (
    CHANNEL,
    group,
    image_files,
    label_files,
    pair,
    series_folders,
)
from segttt.io.layouts.layout import Found, Layout
from segttt.io.layouts.words import partner
from segttt.io.names import stem


def is_nnunet(folder: Path) -> bool:
    """Whether the folder holds imagesTr and labelsTr."""
    return (folder / "imagesTr").is_dir() and (folder / "labelsTr").is_dir()


def read_nnunet(folder: Path, channels: int) -> tuple[list[CaseFiles], list[Failure]]:
    """Complete cases sorted by id, and the files that lack a partner or a channel."""
    return read_pairs(folder / "imagesTr", folder / "labelsTr", channels)


def read_pairs(
    images: Path, labels: Path, channels: int | None
) -> tuple[list[CaseFiles], list[Failure]]:
    """Pair two folders by name; `channels` None: as many as each case has.

    A label may be called label, mask or the like beside its image's name: a.png and a_mask.png.
    """
    found = [*image_files(images), *series_folders(images)]
    stems = [stem(path) for path in found]
    names = {*stems, *(parts["id"] for one in stems if (parts := CHANNEL.fullmatch(one)))}
    by_id, doubled = label_files(labels, lambda path: partner(stem(path), names))
    groups, faults = group(found, channels, by_id)
    broken = {fault.id for fault in (*doubled, *faults)}
    whole = {case: files for case, files in groups.items() if case not in broken}
    kept = {case: path for case, path in by_id.items() if case not in broken}
    cases, lonely = pair(whole, kept)
    return cases, [*doubled, *faults, *lonely]


def _find(folder: Path) -> Path | None:
    return folder if is_nnunet(folder) and (folder / "dataset.json").is_file() else None


def _read(home: Path) -> Found:
    path = home / "dataset.json"
    content = read_description(path)
    channels = channels_of(content, path)
    return described(content, path, *read_nnunet(home, len(channels)))


NNUNET = Layout(
    "nnunet",
    "dataset.json with imagesTr/CASE_0000.nii.gz and labelsTr/CASE.nii.gz (nnU-Net raw)",
    _find,
    _read,
)
