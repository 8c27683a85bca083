"""Folders of images and labels: which files form a case, and which are left over."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from segttt.cases import Failure
from segttt.config.dataset import CaseFiles, fault_in_name
from segttt.io.dicom.find import holds_dicom, walk
from segttt.io.names import ending, object_ending, stem

STAGE = "layout"
CHANNEL = re.compile(r"(?P<id>.+)_(?P<channel>\d{4})")
Groups = dict[str, tuple[Path, ...]]


def image_files(folder: Path) -> list[Path]:
    """Files with an image ending, sorted; hidden ones such as .DS_Store are skipped."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.name[0] != "." and ending(p) and p.is_file())


def series_folders(folder: Path) -> list[Path]:
    """Subfolders that hold DICOM, sorted: each is one image."""
    return sorted(p for p in folder.iterdir() if p.name[0] != "." and holds_dicom(p))


def group(
    files: Iterable[Path], channels: int | None, known: Collection[str] = ()
) -> tuple[Groups, list[Failure]]:
    """Files by case id. CASE_0000, CASE_0001 ... are the channels of CASE.

    A name that is in `known` (the labels' ids) is an id as it stands. A single CASE_0000 holds all
    channels. Numbers beyond the channels are part of the name, as in frames of a film.
    """
    by_stem, failures = _unique(files)
    groups: Groups = {}
    series: dict[str, dict[int, tuple[str, Path]]] = defaultdict(dict)
    for name, path in by_stem.items():
        match = CHANNEL.fullmatch(name)
        if match and name not in known:
            series[match["id"]][int(match["channel"])] = (name, path)
        else:
            groups[name] = (path,)
    for case, parts in series.items():
        wanted = channels or max(parts) + 1
        present = sorted(parts)
        if present in ([0], list(range(wanted))) and case not in groups:
            groups[case] = tuple(parts[index][1] for index in present)
        elif present[-1] >= wanted or case in groups:
            groups |= {name: (path,) for name, path in parts.values()}
        else:
            missing = [f"{case}_{i:04d}" for i in range(wanted) if i not in parts]
            failures.append(_failure(case, f"lacks {', '.join(missing)}. Add the missing channels"))
    return groups, failures


def pair(
    images: Mapping[str, Sequence[Path]], labels: Mapping[str, Path]
) -> tuple[list[CaseFiles], list[Failure]]:
    """Cases with image and label, sorted by id; whatever lacks its partner is named."""
    cases, failures = [], []
    for case in sorted({*images, *labels}):
        if case not in labels:
            path = images[case][0]
            failures.append(_failure(case, f"{path} has no label. Add one, or take the image away"))
        elif case not in images:
            path = labels[case]
            failures.append(_failure(case, f"{path} has no image. Add it, or take the label away"))
        else:
            files = tuple(str(path.absolute()) for path in images[case])
            cases.append(CaseFiles(id=case, images=files, label=str(labels[case].absolute())))
    return refuse_lookalikes(cases, failures)


def label_files(
    folder: Path, named: Callable[[Path], str] = stem
) -> tuple[dict[str, Path], list[Failure]]:
    """Label files by id, which `named` reads from the file's name.

    A DICOM object may lie in a folder of its own, after which the case is then called.
    """
    found, failures = _unique([*image_files(folder), *object_places(folder)], named)
    files: dict[str, Path] = {}
    for name, path in found.items():
        if ending(path):
            files[name] = path
        elif file := object_file(path):
            files[name] = file
        else:
            reason = f"{path} holds several DICOM files where a label is one. Keep that one"
            failures.append(_failure(name, reason))
    return files, failures


def object_file(path: Path) -> Path | None:
    """The DICOM object that is meant by its own path or by a folder with nothing else in it."""
    if not path.is_dir():
        return path if object_ending(path) else None
    inside = walk(path).dicom
    return inside[0] if len(inside) == 1 else None


def object_places(folder: Path) -> list[Path]:
    """DICOM objects that may be labels, sorted: files by their ending, and folders with DICOM."""
    if not folder.is_dir():
        return []
    files = [p for p in folder.iterdir() if p.name[0] != "." and object_ending(p) and p.is_file()]
    return sorted([*files, *series_folders(folder)])


def refuse_lookalikes(
    cases: list[CaseFiles], failures: list[Failure]
) -> tuple[list[CaseFiles], list[Failure]]:
    """Set aside ids that some file systems cannot tell apart (upper case, accents).

    And those that no file is to be named after: outputs take their names from them.
    """
    for case in cases:
        if fault := fault_in_name(case.id):
            path = _visible(case.images[0])
            failures.append(_failure(_visible(case.id), f"{path}: its name {fault}. Rename it"))
    cases = [case for case in cases if not fault_in_name(case.id)]
    alike: dict[str, list[str]] = defaultdict(list)
    for case in cases:
        alike[unicodedata.normalize("NFC", case.id).casefold()].append(case.id)
    twins = {name: ids for ids in alike.values() if len(ids) > 1 for name in ids}
    for name, ids in twins.items():
        others = ", ".join(one for one in ids if one != name) or name
        failures.append(_failure(name, f"its name differs from {others} by case only. Rename one"))
    return [case for case in cases if case.id not in twins], failures


def _unique(
    files: Iterable[Path], named: Callable[[Path], str] = stem
) -> tuple[dict[str, Path], list[Failure]]:
    by_stem: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        by_stem[named(path)].append(path)
    failures = [
        _failure(name, f"{' and '.join(map(str, paths))} share one name. Keep one of them")
        for name, paths in by_stem.items()
        if len(paths) > 1
    ]
    return {name: paths[0] for name, paths in by_stem.items() if len(paths) == 1}, failures


def _visible(text: str) -> str:
    """The text with what does not print spelt out."""
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


def _failure(case: str, reason: str) -> Failure:
    return Failure(case, STAGE, f"{reason}.")
