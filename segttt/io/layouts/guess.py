"""Any folder: which files are images, which are labels and which belong together, told by names.

Words such as "labels" or "_seg" in the names of folders and files tell labels from images. What is
left of the names without them must be equal: parallel folders (imagesTr/a, labelsTr/a), one folder
(a.png, a_mask.png), one folder per patient (a/a_t1, a/a_t2, a/a_seg; a/t1, a/seg).
"""

import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segttt.cases import Failure
from segttt.config.dataset import CaseFiles
from segttt.io.layouts.folders import STAGE, refuse_lookalikes
from segttt.io.layouts.layout import Found
from segttt.io.layouts.words import bare, bare_image, room_of
from segttt.io.names import ending, stem

SEPARATORS = "-_. "


@dataclass(frozen=True)
class _Guess:
    """A label and the images that carry its name."""

    room: str
    name: str
    label: Path
    images: Mapping[str, Path]
    """What an image's name has beyond the label's -> file."""


def guess(folder: Path) -> Found:
    """The pairs below a folder; `failures` names what was left out, and why."""
    rooms: dict[str, tuple[list[Path], list[Path]]] = defaultdict(lambda: ([], []))
    others: Counter[str] = Counter()
    for path in _files(folder):
        if not ending(path):
            others[path.suffix or "none"] += 1
            continue
        room, is_label = room_of(path.relative_to(folder).parts[:-1])
        labelled = bare(stem(path)) != stem(path) if is_label is None else is_label
        rooms[room][labelled].append(path)
    found: list[_Guess] = []
    left = [Failure(f"*{kind}", STAGE, f"{n} x no image.") for kind, n in others.items()]
    for room, (images, labels) in sorted(rooms.items()):
        pairs, lonely = _pair(room, images, labels)
        found += pairs
        left += lonely
    channels = _channels(found)
    cases, unfit = _cases(found, channels)
    kept, left = refuse_lookalikes(sorted(cases, key=lambda one: one.id), [*left, *unfit])
    names = tuple(f"image_{one}" if one.isdigit() else one for one in channels)
    return Found(kept, left, names if len(names) > 1 else ())


def _files(folder: Path) -> Iterator[Path]:
    """All files below the folder, sorted; hidden ones are skipped."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(one for one in folders if one[0] != ".")
        yield from (Path(place, name) for name in sorted(names) if name[0] != ".")


def _pair(
    room: str, images: Sequence[Path], labels: Sequence[Path]
) -> tuple[list[_Guess], list[Failure]]:
    """Give every image to the label whose name begins its own; the longest such name wins."""
    named: dict[str, list[Path]] = defaultdict(list)
    for path in labels:
        named[bare(stem(path))].append(path)
    left = [
        _left(path, f"shares the name {name!r} with {len(paths) - 1} other labels")
        for name, paths in named.items()
        if len(paths) > 1
        for path in paths
    ]
    single = {name: paths[0] for name, paths in named.items() if len(paths) == 1}
    owned: dict[str, dict[str, Path]] = {name: {} for name in single}
    for path in images:
        owner, rest = _owner(path, single)
        if owner is None or rest in owned[owner]:
            left.append(_left(path, "has no label of its own"))
        else:
            owned[owner][rest] = path
    for name, parts in owned.items():
        if "" in parts and len(parts) > 1:  # an exact name is the case, the others are not its own
            left += [_left(path, "has no label of its own") for key, path in parts.items() if key]
            owned[name] = {"": parts[""]}
    left += [_left(single[name], "has no image") for name, parts in owned.items() if not parts]
    pairs = [_Guess(room, name, single[name], parts) for name, parts in owned.items() if parts]
    return pairs, left


def _owner(image: Path, labels: Collection[str]) -> tuple[str | None, str]:
    """The label that an image belongs to, and what the image's name has beyond the label's."""
    for name in (stem(image), bare_image(stem(image))):
        fitting = [one for one in labels if _begins(one, name)]
        if fitting:
            owner = max(fitting, key=len)
            return owner, name[len(owner) :].strip(SEPARATORS)
    return None, ""


def _begins(label: str, image: str) -> bool:
    rest = image[len(label) :]
    return image.startswith(label) and (not rest or not label or rest[0] in SEPARATORS)


def _channels(found: Sequence[_Guess]) -> tuple[str, ...]:
    """The endings that most cases have; one empty ending where every case has one image."""
    counts = Counter(tuple(sorted(one.images)) for one in found)
    if all(len(endings) == 1 for endings in counts):
        return ("",)
    return max(counts, key=lambda endings: (counts[endings], endings))


def _cases(
    found: Sequence[_Guess], channels: tuple[str, ...]
) -> tuple[list[CaseFiles], list[Failure]]:
    cases, left = [], []
    counts = Counter(_id(one) for one in found)
    for one in found:
        parts = {"": next(iter(one.images.values()))} if channels == ("",) else one.images
        name = _id(one) if counts[_id(one)] == 1 else f"{one.room}_{_id(one)}".replace("/", "_")
        if missing := [channel for channel in channels if channel not in parts]:
            left.append(_left(one.label, f"lacks the image {', '.join(missing)}"))
            continue
        left += [
            _left(path, "is a channel that other cases lack")
            for key, path in parts.items()
            if key not in channels
        ]
        images = tuple(str(parts[channel].absolute()) for channel in channels)
        cases.append(CaseFiles(id=name, images=images, label=str(one.label.absolute())))
    return cases, left


def _id(one: _Guess) -> str:
    """The image's name where there is one image, else the label's, else the folder's."""
    if list(one.images) in ([""], ["0000"]) and one.name:
        return stem(one.images[next(iter(one.images))]).removesuffix("_0000")
    return one.name or one.room.replace("/", "_") or "case"


def _left(path: Path, reason: str) -> Failure:
    return Failure(path.name, STAGE, f"{path}: {reason}.")
