"""Decathlon layout: dataset.json lists image and label of every training case."""

from pathlib import Path, PurePosixPath
from typing import Any

from segttt.cases import Failure
from segttt.config.dataset import CaseFiles
from segttt.io.dicom.find import holds_dicom
from segttt.io.layouts.description import described, read_description
from segttt.io.layouts.folders import (
    STAGE,
    image_files,
    object_file,
    object_places,
    refuse_lookalikes,
)
from segttt.io.layouts.layout import Found, Layout
from segttt.io.names import ending, stem

LONGEST_NAME = 255  # bytes; what is longer no file system asks for without an error


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
            truth = label and (object_file(label) or label).absolute()
            cases[case] = CaseFiles(id=case, images=files, label=str(truth))
    failures += _unlisted(folder, used)
    return refuse_lookalikes(sorted(cases.values(), key=lambda one: one.id), failures)


def _find(folder: Path) -> Path | None:
    path = folder / "dataset.json"
    return folder if path.is_file() and lists_files(folder, read_description(path)) else None


def _read(home: Path) -> Found:
    path = home / "dataset.json"
    content = read_description(path)
    return described(content, path, *read_msd(home, content))


MSD = Layout(
    "msd",
    "dataset.json that lists training images and labels (Medical Segmentation Decathlon)",
    _find,
    _read,
)


def _problem(image: Path | None, label: Path | None, twice: bool) -> str:
    if image is None:
        return "The entry names no image inside the dataset's folder."
    if label is None:
        return f"{image}: the entry names no label inside the dataset's folder."
    if twice:
        return f"{image}: is listed twice."
    missing = [str(path) for path in (image, label) if not path.exists()]
    if missing:
        return f"{' and '.join(missing)}: does not exist."
    strange = [] if _is_image(image) else [str(image)]
    strange += [] if ending(label) or object_file(label) else [str(label)]
    return f"{' and '.join(strange)}: is of no format that is read." if strange else ""


def _is_image(path: Path) -> bool:
    return holds_dicom(path) if path.is_dir() else bool(ending(path))


def _unlisted(folder: Path, used: set[Path]) -> list[Failure]:
    """Files beside the listed ones that dataset.json does not mention."""
    left: dict[str, list[Path]] = {}
    for place in sorted(
        {path.parent for path in used} | {folder / "imagesTr", folder / "labelsTr"}
    ):
        for path in (*image_files(place), *object_places(place)):
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
    odd = ".." in parts or any(ord(letter) < ord(" ") for letter in name)
    return None if odd or len(name.encode()) > LONGEST_NAME else folder.joinpath(*parts)


def _exists(folder: Path, entry: object) -> bool:
    path = _path(folder, entry, "image")
    return path is not None and path.exists()
