"""Reading every case of a folder and listing what is wrong with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segttt.cluster.local import map_cases
from segttt.commands.watch import Watch
from segttt.config import preset as presets
from segttt.config.dataset import CaseFiles
from segttt.errors import DataError, SegtttError
from segttt.io.check import WARNING, check_case, working_bytes
from segttt.io.layouts.read import discover_segments, read_dataset


@dataclass(frozen=True)
class Checked:
    """How many cases can be used, how many not, and what was found, by id."""

    good: int
    bad: int
    problems: Mapping[str, Sequence[str]]


def check(
    data: Path, watch: Watch, *, preset: str | None, instances: bool, workers: int
) -> Checked:
    """Read all files of all cases; one bad case never hides another."""
    chosen = presets.load(preset) if preset else None
    known = chosen.dataset if chosen else None
    dataset, failures = read_dataset(
        data,
        instances=instances or bool(known and known.instances),
        channels=known.channels if known else (),
    )
    if known and not dataset.labels:
        dataset = dataset.model_copy(update={"labels": known.labels})
    if not dataset.labels:
        dataset = dataset.model_copy(update={"labels": discover_segments(dataset)})

    problems: dict[str, list[str]] = {}
    for failure in failures:
        problems.setdefault(failure.id, []).append(failure.reason)

    def one(files: CaseFiles) -> list[str]:
        return check_case(files, dataset)

    results = map_cases(one, dataset.cases, workers=workers, bytes_of=working_bytes)
    for files, result in watch.track(results, "check", len(dataset.cases)):
        if isinstance(result, DataError):
            problems.setdefault(files.id, []).append(str(result))
        elif isinstance(result, SegtttError):
            raise result
        elif result:
            problems.setdefault(files.id, []).extend(result)
    bad = {one for one, found in problems.items() if any(not p.startswith(WARNING) for p in found)}
    good = sum(files.id not in bad for files in dataset.cases)
    return Checked(good, len(bad), problems)
