"""Images to segment: one file, or a folder of them, or whatever came from a scanner."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from segttt.cases import Case, Failure, Remedies
from segttt.config.dataset import CaseFiles
from segttt.errors import LayoutError, UsageError
from segttt.io.dicom.find import holds_dicom, is_dicom
from segttt.io.dicom.library import require
from segttt.io.layouts.folders import STAGE, group, image_files, refuse_lookalikes
from segttt.io.names import ENDINGS, ending, is_picture


@dataclass(frozen=True)
class Inputs:
    """What is to be segmented."""

    cases: Sequence[Case]
    """Sorted by id."""
    failures: Sequence[Failure]
    skipped: str = ""
    """What a DICOM folder holds beside volumes, with counts."""


def list_inputs(path: Path, channels: int) -> tuple[list[Case], list[Failure]]:
    """Cases sorted by id (the file name without ending and channel), and incomplete ones.

    CASE_0000, CASE_0001 ... form one case where the network takes several channels.
    A `LayoutError` where there is no image at all.
    """
    if path.is_dir():
        files = image_files(path)
    elif path.is_file() and ending(path):
        files = [path]
    else:
        found = "is no image that is read" if path.is_file() else "does not exist"
        raise LayoutError(f"{path}: {found}. Known endings: {', '.join(ENDINGS)}.")
    if not files:
        raise LayoutError(f"{path}: holds no image. Known endings: {', '.join(ENDINGS)}.")
    return _distinct(*_file_cases(files, channels))


def list_scans(
    path: Path,
    channels: int,
    wanted: Sequence[str] = (),
    remedies: Remedies = Remedies(),  # noqa: B008  (frozen)
) -> Inputs:
    """As `list_inputs`, and the DICOM series at any depth; `wanted` chooses among these.

    A series that is no regular volume, nor made one by `remedies`, is a failure with its reason.
    Pictures beside DICOM are no inputs, since scanners export previews.
    """
    if not (is_dicom(path) or holds_dicom(path)):
        if wanted:
            raise UsageError(f"--series chooses DICOM series, and {path} holds no DICOM.")
        return Inputs(*list_inputs(path, channels))
    require()
    from segttt.io.dicom.select import select
    from segttt.io.dicom.study import read_study

    study = read_study(path, remedies)
    chosen = select(study.series, wanted)
    good = {one.id: one for one in chosen if one.problem is None}
    bad = [Failure(one.id, STAGE, one.problem) for one in chosen if one.problem]
    groups, incomplete = group([Path(name) for name in good], channels)
    cases = []
    for case, names in groups.items():
        parts = [good[name.name] for name in names]
        folders, series = (tuple(one.folder for one in parts), tuple(one.files for one in parts))
        cases.append(Case(case, folders, series=series, remedies=remedies))
    volumes = [one for one in image_files(path) if not is_picture(one)] if not wanted else []
    more, faults = _file_cases(volumes, channels)
    failures = [*study.broken, *bad, *incomplete, *faults]
    skipped = ", ".join(f"{n} x {kind}" for kind, n in sorted(study.skipped.items()) if n)
    return Inputs(*_distinct([*cases, *more], failures), skipped)


def _file_cases(files: Iterable[Path], channels: int) -> tuple[list[Case], list[Failure]]:
    groups, failures = group(files, channels)
    absolute = {case: tuple(one.absolute() for one in paths) for case, paths in groups.items()}
    return [Case(case, paths) for case, paths in absolute.items()], failures


def _distinct(cases: Sequence[Case], failures: list[Failure]) -> tuple[list[Case], list[Failure]]:
    """The cases sorted by id, without those whose ids some file systems cannot tell apart."""
    by_id: dict[str, Case] = {}
    twins = []
    for case in sorted(cases, key=lambda one: one.id):
        if by_id.setdefault(case.id, case) is not case:
            twins.append(
                Failure(case.id, STAGE, f"{case.images[0]}: another scan has its name. Rename one.")
            )
    files = [CaseFiles(id=name, images=(str(one.images[0]),)) for name, one in by_id.items()]
    kept, failures = refuse_lookalikes(files, [*failures, *twins])
    return [by_id[one.id] for one in kept], failures
