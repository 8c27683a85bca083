"""DICOM files below a folder, told by their content; links out and DICOMDIR are not followed."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from segttt.io.names import ending

MAGIC = b"DICM"
MAGIC_PLACE = 128


@dataclass
class Walk:
    """What lies below a folder."""

    dicom: list[Path] = field(default_factory=list)
    """DICOM files, sorted."""
    others: int = 0
    """Files that are neither DICOM nor an image by their ending."""
    links: int = 0
    """Links that lead out of the folder, or to folders; they are not followed."""


def walk(place: Path) -> Walk:
    """Look at every file below a folder of any depth, or at one file."""
    found = Walk()
    for path in _files(place, found):
        if is_dicom(path):
            found.dicom.append(path)
        elif not ending(path):
            found.others += 1
    found.dicom.sort()
    return found


def holds_dicom(folder: Path) -> bool:
    """Whether a folder holds a DICOM file at any depth."""
    return folder.is_dir() and any(is_dicom(path) for path in _files(folder, Walk()))


def is_dicom(path: Path) -> bool:
    """Whether the file starts as DICOM files do; those that cannot be opened do not."""
    if ending(path):
        return False
    try:
        with path.open("rb") as file:
            return file.read(MAGIC_PLACE + 4)[MAGIC_PLACE:] == MAGIC
    except OSError:
        return False


def _files(place: Path, found: Walk) -> Iterator[Path]:
    if not place.is_dir():
        yield place
        return
    home = place.resolve()
    for folder, folders, names in os.walk(place):
        found.links += sum(Path(folder, name).is_symlink() for name in folders)
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            # not `resolve`, which stumbles over a link to itself
            if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(home):
                found.links += 1
            elif path.is_file():
                yield path
