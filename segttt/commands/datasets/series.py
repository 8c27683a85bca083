"""What a folder from a scanner holds: its series, which of them can be used, and why not."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from segttt.cluster.local import map_cases
from segttt.commands.watch import Watch
from segttt.errors import DataError, LayoutError, SegtttError
from segttt.io.dicom.library import require


@dataclass(frozen=True)
class Listed:
    """One series as the user sees it; nothing of the patient."""

    id: str
    modality: str
    number: int | None
    description: str
    files: int
    shape: tuple[int, int, int] | None
    """None where the files are no volume."""
    spacing_mm: tuple[float, float, float] | None


@dataclass(frozen=True)
class Found:
    """The series of a folder, and what is wrong with which."""

    series: list[Listed]
    problems: dict[str, list[str]]
    skipped: dict[str, int]

    @property
    def good(self) -> int:
        """Series that can be used."""
        return sum(one.id not in self.problems for one in self.series)

    def as_json(self) -> dict[str, Any]:
        """Plain data for programs."""
        return {
            "good": self.good,
            "bad": len(self.problems),
            "problems": self.problems,
            "series": [asdict(one) for one in self.series],
            "skipped": self.skipped,
        }


def check_series(folder: Path, watch: Watch, *, workers: int) -> Found:
    """Sort a folder of any depth into series and decode every slice of those that are volumes."""
    require()
    from segttt.io.dicom.series import Series
    from segttt.io.dicom.study import read_series, read_study

    def pixels(one: Series) -> None:
        read_series(one.files)

    study = read_study(folder)
    if not study.series and not study.broken:
        raise LayoutError(f"{folder}: holds DICOM, but no series of slices.")
    problems = {one.id: [one.reason] for one in study.broken}
    problems |= {one.id: [one.problem] for one in study.series if one.problem}
    volumes = [one for one in study.series if not one.problem]
    results = map_cases(pixels, volumes, workers=workers)
    for one, result in watch.track(results, "check", len(volumes)):
        if isinstance(result, DataError):
            problems[one.id] = [str(result)]
        elif isinstance(result, SegtttError):
            raise result
    listed = [
        Listed(
            id=one.id,
            modality=one.modality,
            number=one.number,
            description=one.description,
            files=len(one.files),
            shape=one.grid.shape if one.grid else None,
            spacing_mm=one.grid.spacing_mm if one.grid else None,
        )
        for one in study.series
    ]
    return Found(listed, problems, {kind: n for kind, n in study.skipped.items() if n})
