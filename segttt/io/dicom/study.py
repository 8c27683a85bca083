"""A folder from a scanner: its series with their ids, and what was left out."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from segttt.cases import Failure, Remedies
from segttt.errors import DataError, ImageError
from segttt.geometry.grid import Grid
from segttt.io.dicom.find import walk
from segttt.io.dicom.header import Header, read_header
from segttt.io.dicom.scan import open_scan, read_voxels
from segttt.io.dicom.series import Series, sort_series
from segttt.io.workspace import safe_name

LONGEST_ID = 120  # characters; file systems take 255 bytes with the ending


@dataclass(frozen=True)
class Study:
    """Everything below a folder."""

    series: tuple[Series, ...]
    """Sorted by id; some have a problem."""
    skipped: Counter[str]
    """Kind of object or file -> how many were not considered."""
    broken: tuple[Failure, ...]
    """Files that cannot be read."""


def read_study(place: Path, remedies: Remedies = Remedies()) -> Study:  # noqa: B008  (frozen)
    """Sort all DICOM files below `place`, a folder of any depth or one file, into series."""
    found = walk(place)
    headers: list[Header] = []
    broken: list[Failure] = []
    for path in found.dicom:
        try:
            headers.append(read_header(path))
        except ImageError as error:
            broken.append(_broken(path, str(error)))
    broken += _without_pixels(headers)
    series, skipped = sort_series(
        (one for one in headers if one.has_pixels or not one.kind), remedies
    )
    skipped += Counter({"other file": found.others, "link out of the folder": found.links})
    root = place if place.is_dir() else place.parent
    named = _named(series, root)
    return Study(tuple(sorted(named, key=lambda one: one.id)), skipped, tuple(broken))


def _without_pixels(headers: Sequence[Header]) -> list[Failure]:
    """One failure per folder that holds slices without pixels: cut files, or headers alone."""
    empty: dict[Path, list[Path]] = defaultdict(list)
    for header in headers:
        if header.kind and not header.has_pixels:
            empty[header.path.parent].append(header.path)
    failures = []
    for files in empty.values():
        more = f" (and {len(files) - 1} more beside it)" if len(files) > 1 else ""
        reason = f"{files[0]}{more}: holds no pixels. Is it complete? Copy it again."
        failures.append(_broken(files[0], reason))
    return failures


def _broken(path: Path, reason: str) -> Failure:
    """A file that cannot be read; the slash keeps its id apart from those of cases."""
    return Failure(f"{path.parent.name}/{path.name}", "read", reason)


def only_series(folder: Path) -> Series:
    """The one series of a folder that is one image; a `DataError` where it holds none or several.

    Damaged files count: a volume without them would be another one.
    """
    study = read_study(folder)
    if study.broken:
        raise ImageError(study.broken[0].reason)
    if len(study.series) != 1:
        listed = ", ".join(one.id for one in study.series) or "none"
        raise ImageError(
            f"{folder}: must hold one DICOM series, found {len(study.series)} ({listed}). "
            "Put each series into a folder of its own; `segttt data check` lists them."
        )
    return study.series[0]


def read_series(files: Sequence[Path]) -> tuple[Float32[np.ndarray, "1 z y x"], Grid]:
    """Scaled voxels (1, slice, row, column) of the files of one series and their grid.

    A `DataError` tells what keeps the files from being one volume.
    """
    scan = open_scan(files, Remedies())
    return read_voxels(scan), scan.stack.grid


def usable_files(folder: Path) -> tuple[Path, ...]:
    """The files of the one series of a folder; a `DataError` where they are no volume."""
    series = only_series(folder)
    if series.problem:
        raise DataError(series.problem)
    return series.files


def _named(series: Sequence[Series], root: Path) -> list[Series]:
    """Ids from the user's folders, with the series number where one folder holds several.

    Nothing of the patient, and no free text of the scanner, becomes part of an id.
    """
    home = root.resolve()

    def folder(one: Series) -> str:
        return safe_name(one.folder.resolve().name)

    def path(one: Series) -> str:
        parts = one.folder.resolve().relative_to(home).parts or (home.name,)
        return "_".join(safe_name(part) for part in parts)[-LONGEST_ID:].lstrip(".-")

    def number(one: Series) -> str:
        return one.id if one.number is None else f"{one.id}_series{one.number}"

    named = [replace(one, id=folder(one)[:LONGEST_ID]) for one in series]
    for rename in (path, number):
        named = _renamed(named, rename)
    seen: Counter[str] = Counter()
    final = []
    for one in named:
        seen[one.id.casefold()] += 1
        count = seen[one.id.casefold()]
        final.append(one if count == 1 else replace(one, id=f"{one.id}_{count}"))
    return final


def _renamed(series: Sequence[Series], rename: Callable[[Series], str]) -> list[Series]:
    """The series, those that share an id renamed."""
    sharing: dict[str, int] = defaultdict(int)
    for one in series:
        sharing[one.id.casefold()] += 1
    return [
        replace(one, id=rename(one)) if sharing[one.id.casefold()] > 1 else one for one in series
    ]
