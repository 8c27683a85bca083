"""Decathlon layout: dataset.json lists image and label of every training case."""

from pathlib import Path, PurePosixPath
from typing import Any

from segttt.cases import Failure
from segttt.config.dataset import CaseFiles
from segttt.io.layouts.folders import STAGE, image_files, refuse_lookalikes
from segttt.io.names import ending, stem


def lists_files(folder: Path, content: dict[str, Any]) -> bool:
    """Whether dataset.json lists training files of which at least one is there."""
    entries = content.get("training")
    if not isinstance(entries, list):
        return False
    return any(_exists(folder, entry) for entry in entries)


def read_msd(folder: Path, content: dict[str, Any]) -> tuple[list[CaseFiles], list[Failure]]:
    """The listed cases that are complete, sorted by id, and what is wrong with the others."""
    cases: dict[str, CaseFiles] = {}
    failures: list[Failure] = []
    used: set[Path] = set()
    for number, entry in enumerate(content["training"]):
        image, label = _path(folder, entry, "image"), _path(folder, entry, "label")
        case = stem(image) if image else f"training[{number}]"
        used |= {path for path in (image, label) if path}
        problem = _problem(image, label, case in cases)
        if problem or image is None:
            failures.append(Failure(case, STAGE, f"{problem} Correct dataset.json or the files."))
        else:
            files = (str(image.absolute()),)
            cases[case] = CaseFiles(id=case, images=files, label=str(label and label.absolute()))
    failures += _unlisted(folder, used)
    return refuse_lookalikes(sorted(cases.values(), key=lambda one: one.id), failures)


def _problem(image: Path | None, label: Path | None, twice: bool) -> str:
    if image is None:
        return "The entry names no image inside the dataset's folder."
    if label is None:
        return f"{image}: the entry names no label inside the dataset's folder."
    if twice:
        return f"{image}: is listed twice."
    missing = [str(path) for path in (image, label) if not path.is_file()]
    if missing:
        return f"{' and '.join(missing)}: does not exist."
    strange = [str(path) for path in (image, label) if not ending(path)]
    return f"{' and '.join(strange)}: is of no format that is read." if strange else ""


def _unlisted(folder: Path, used: set[Path]) -> list[Failure]:
    """Files beside the listed ones that dataset.json does not mention."""
    left: dict[str, list[Path]] = {}
    for place in sorted(
        {path.parent for path in used} | {folder / "imagesTr", folder / "labelsTr"}
    ):
        for path in image_files(place):
            if path not in used:
                left.setdefault(stem(path), []).append(path)
    return [
        Failure(
            case,
            STAGE,
            f"{' and '.join(map(str, paths))}: not listed in dataset.json. "
            + ("Add the pair to it." if len(paths) > 1 else _advice(paths[0])),
        )
        for case, paths in left.items()
    ]


def _advice(path: Path) -> str:
    partner = "image" if path.parent.name.startswith("labels") else "label"
    return f"It has no {partner}; add both, or take it away."


def _path(folder: Path, entry: object, key: str) -> Path | None:
    """The file an entry names; None where it names none, or one outside the folder."""
    name = entry.get(key) if isinstance(entry, dict) else None
    if not isinstance(name, str) or not name or PurePosixPath(name).is_absolute():
        return None
    parts = PurePosixPath(name).parts
    return None if ".." in parts else folder.joinpath(*parts)


def _exists(folder: Path, entry: object) -> bool:
    path = _path(folder, entry, "image")
    return path is not None and path.is_file()
