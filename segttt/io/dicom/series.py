"""Headers sorted into series, and series split into the stacks that they hold."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from os.path import commonpath
from pathlib import Path

import numpy as np

from segttt.cases import Remedies
from segttt.errors import GeometryError, ImageError
from segttt.geometry.grid import Grid
from segttt.io.dicom.geometry import SAME_DIRECTION, stack_of
from segttt.io.dicom.header import MARKS, Header
from segttt.io.files import digest

SCOUT = "scout or localiser"
COPY = "copy of a slice"
Stack = list[Header]


@dataclass(frozen=True)
class Series:
    """Files that should be one volume, and what keeps them from being one."""

    id: str
    folder: Path
    files: tuple[Path, ...]
    """From the lowest slice to the highest."""
    modality: str
    number: int | None
    description: str
    uid: str
    grid: Grid | None
    """None where there is a problem."""
    problem: str | None = None


def sort_series(headers: Iterable[Header], remedies: Remedies) -> tuple[list[Series], Counter[str]]:
    """The series, still without ids, and how many files of which kind were skipped."""
    skipped: Counter[str] = Counter()
    groups: dict[tuple[str, str, str], Stack] = defaultdict(list)
    for header in headers:
        if header.kind:
            key = header.series or f"folder {header.path.parent}"
            groups[header.study, key, header.kind].append(header)
        else:
            skipped[header.called] += 1
    found: list[Series] = []
    for group in groups.values():
        try:
            stacks = _stacks(_without_copies(group, skipped), skipped)
        except ImageError as error:
            found.append(_series(group, problem=str(error)))
            continue
        found += [_placed(stack, remedies) for stack in stacks]
    return sorted(found, key=lambda one: (str(one.folder), one.number or 0, one.files)), skipped


def _without_copies(group: Stack, skipped: Counter[str]) -> Stack:
    """The group without files that repeat another byte for byte."""
    by_instance: dict[str, Header] = {}
    kept: Stack = []
    for header in group:
        first = by_instance.setdefault(header.instance or str(header.path), header)
        if first is header:
            kept.append(header)
        elif digest(first.path) == digest(header.path):
            skipped[COPY] += 1
        else:
            raise ImageError(
                f"{header.path}: claims to be the same slice as {first.path.name}, but differs "
                "from it. Find out which is right and take the other away."
            )
    return kept


def _stacks(group: Stack, skipped: Counter[str]) -> list[Stack]:
    """Split by matrix, orientation and file with several frames; scouts are dropped."""
    stacks: list[Stack] = []
    for header in group:
        home = next((stack for stack in stacks if _belongs(header, stack[0])), None)
        if home is None:
            stacks.append([header])
        else:
            home.append(header)
    volumes = [stack for stack in stacks if len(stack) > 1 or stack[0].multiframe]
    scouts = [stack for stack in stacks if stack[0].localiser]
    if volumes:
        scouts += [stack for stack in stacks if stack not in (*volumes, *scouts)]
    skipped[SCOUT] += sum(map(len, scouts))
    kept = [stack for stack in stacks if stack not in scouts]
    if not volumes and len(kept) > 1:
        return [[header for stack in kept for header in stack]]  # to be refused as a whole
    return [part for stack in kept for part in _unfolded(stack)]


def _belongs(header: Header, first: Header) -> bool:
    if header.multiframe or first.multiframe:
        return False
    if (header.rows, header.columns, header.localiser) != (
        first.rows,
        first.columns,
        first.localiser,
    ):
        return False
    a, b = header.frames[0].orientation, first.frames[0].orientation
    if a is None or b is None:
        return a is b
    return bool(np.abs(np.subtract(a, b)).max() <= SAME_DIRECTION)


def _unfolded(stack: Stack) -> list[Stack]:
    """Several echoes, phases or b-values at the same positions as a stack each.

    Only where one tag of `MARKS` separates them into stacks of equal positions; else the stack
    stays whole and is refused by its geometry.
    """
    positions = [header.frames[0].position for header in stack]
    if None in positions or len(set(positions)) == len(positions):
        return [stack]
    for index in range(len(MARKS)):
        parts: dict[str, Stack] = defaultdict(list)
        for header in stack:
            parts[header.marks[index]].append(header)
        places = [sorted(str(one.frames[0].position) for one in part) for part in parts.values()]
        apart = all(len(set(place)) == len(place) for place in places)
        if len(parts) > 1 and apart and all(place == places[0] for place in places):
            return [parts[mark] for mark in sorted(parts)]
    return [stack]


def _placed(stack: Stack, remedies: Remedies) -> Series:
    """The stack with its grid, or with the reason why it has none."""
    series = _series(stack)
    if any("MOSAIC" in header.marks[MARKS.index("ImageType")] for header in stack):
        reason = (
            f"{series.folder}: holds mosaics, whole volumes laid out in one picture. Convert them "
            "by dcm2niix, and segment the NIfTI files."
        )
        return replace(series, problem=reason)
    if len(matrices := {(header.rows, header.columns) for header in stack}) > 1:
        listed = ", ".join(f"{rows} x {columns}" for rows, columns in sorted(matrices))
        reason = f"{series.folder}: its slices have the sizes {listed}. Keep those of one size."
        return replace(series, problem=reason)
    frames = [frame for header in stack for frame in header.frames]
    try:
        placed = stack_of(frames, stack[0].rows, stack[0].columns, series.folder, remedies)
    except GeometryError as error:
        return replace(series, problem=str(error))
    if len(stack) > 1:
        series = replace(series, files=tuple(stack[index].path for index in placed.order))
    return replace(series, grid=placed.grid)


def _series(stack: Sequence[Header], problem: str | None = None) -> Series:
    first = stack[0]
    return Series(
        id="",
        folder=Path(commonpath([str(header.path.parent) for header in stack])),
        files=tuple(header.path for header in stack),
        modality=first.modality,
        number=first.number,
        description=first.description,
        uid=first.series,
        grid=None,
        problem=problem,
    )
