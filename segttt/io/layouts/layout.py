"""What a layout is: how a folder looks that has it, and how its cases are found."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from segttt.cases import Failure
from segttt.config.dataset import CaseFiles, Fold, LayoutName


@dataclass(frozen=True)
class Found:
    """What a folder or a manifest holds."""

    cases: Sequence[CaseFiles]
    """Complete ones, sorted by id."""
    failures: Sequence[Failure]
    """Files that cannot be used, with the reason."""
    channels: tuple[str, ...] = ()
    """Empty: as many as the first image has."""
    labels: Mapping[int, str] = field(default_factory=dict)
    """Empty: not declared."""
    instances: bool = False
    name: str = ""
    """Empty: the folder's."""
    folds: tuple[Fold, ...] = ()
    modalities: Mapping[str, str] = field(default_factory=dict)
    """Id -> name of its channel, where cases of several kinds lie in one folder."""


@dataclass(frozen=True)
class Layout:
    """One of the ways in which data lie in folders."""

    name: LayoutName
    looks: str
    """Folders and files by which it is known, for the message where none is."""
    find: Callable[[Path], Path | None]
    """The folder that is laid out so, which is the one named or below it; None where none is."""
    read: Callable[[Path], Found]
    """Its cases; only for a folder that `find` gave."""


def holds(folder: Path, pattern: str) -> bool:
    """Whether the folder, if it is one, holds a file or folder of that pattern."""
    return any(True for _ in folder.glob(pattern))


def first_below(folder: Path, depth: int, fits: Callable[[Path], bool]) -> Path | None:
    """The first folder that fits, in order of depth and name: `folder` itself, or one below it."""
    level = [folder]
    for _ in range(depth + 1):
        for place in level:
            if fits(place):
                return place
        level = [room for place in level for room in _rooms(place)]
    return None


def _rooms(place: Path) -> list[Path]:
    """The folders in a place, sorted; none where it is a file, or may not be read."""
    with suppress(OSError), os.scandir(place) as entries:
        return sorted(Path(one) for one in entries if one.is_dir() and one.name[0] != ".")
    return []
