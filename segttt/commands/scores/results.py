"""Results of `segttt evaluate`, found again, read, and named after their models."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from segttt.config.report import CaseScore, Summary
from segttt.errors import LayoutError, UsageError
from segttt.report.tables import read_cases_csv, read_cells_csv


@dataclass(frozen=True)
class Results:
    """One folder of predictions, scored."""

    folder: Path
    """As the user named it."""
    place: Path
    """Where the files lie: there or in `evaluate/`."""
    summary: Summary
    cases: dict[str, CaseScore]
    """Without what is not compared: lesions, undeclared values, voxels of the grid."""


def load(folder: Path) -> Results:
    """Read the results in `folder` or in its `evaluate/`.

    Raises `UsageError` where there are none, and `LayoutError` where they are not whole.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder.")
    places = (folder, folder / "evaluate")
    place = next((one for one in places if _complete(one)), None)
    if place is None:
        raise UsageError(
            f"{folder}: holds no summary.json with its cases.csv. "
            f"Make them with `segttt evaluate {folder} TRUTH`."
        )
    summary = Summary.load(place / "summary.json")
    cases = _cases(place, summary)
    if len(cases) != summary.n_cases:
        raise LayoutError(
            f"{place}: its table has {len(cases)} cases and its summary {summary.n_cases}. "
            "Run `segttt evaluate` again."
        )
    return Results(folder, place.resolve(), summary, cases)


def _complete(place: Path) -> bool:
    tables = (place / "cases.csv", place / "cells.csv")
    return (place / "summary.json").is_file() and any(table.is_file() for table in tables)


def _cases(place: Path, summary: Summary) -> dict[str, CaseScore]:
    """The cases of the tables that the summary rests on; others may be left from before."""
    cases: dict[str, CaseScore] = {}
    path = place / "cases.csv"
    try:
        if summary.per_label:
            cases = {case.id: case for case in read_cases_csv(_text(path))}
            expected = [label.label for label in summary.per_label]
            if any([one.label for one in case.labels] != expected for case in cases.values()):
                raise ValueError("labels are missing")
        if summary.cells:
            path = place / "cells.csv"
            for case, cells in read_cells_csv(_text(path)).items():
                whole = cases.get(case, CaseScore(id=case, labels=()))
                cases[case] = whole.model_copy(update={"cells": cells})
    except (OSError, ValueError) as error:
        raise LayoutError(
            f"{path}: is not the whole table that `segttt evaluate` writes. Evaluate again."
        ) from error
    return cases


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def by_model(arguments: Sequence[str]) -> dict[str, list[Results]]:
    """The results of every model, in the order of the arguments; several are its seeds.

    An argument is FOLDER or NAME=FOLDER. Without a name, results go under their network, and under
    their folder where they do not tell it.
    """
    given = [_split(argument) for argument in arguments]
    results = [load(folder) for _, folder in given]
    for one, other in combinations(results, 2):
        if one.place == other.place:
            raise UsageError(f"{other.folder} is named twice. Name each folder once.")
    names = [name or network(one.summary) for (name, _), one in zip(given, results, strict=True)]
    nameless = [one.folder for one, name in zip(results, names, strict=True) if name is None]
    from_folders = iter(_distinct(nameless, {name for name in names if name is not None}))
    models: dict[str, list[Results]] = {}
    for name, (told, _), one in zip(names, given, results, strict=True):
        seeds = models.setdefault(name or next(from_folders), [])
        if told is None:
            _refuse_same(one, seeds)
        seeds.append(one)
    if len(models) < 2:
        only = next(iter(models), "none")
        raise UsageError(
            f"There is one model to compare ({only}). Name another folder, "
            "or tell models of one network apart by NAME=FOLDER."
        )
    return models


def _split(argument: str) -> tuple[str | None, Path]:
    """Name, if any, and folder; a folder whose own name holds `=` stays whole."""
    name, equals, folder = argument.partition("=")
    if not equals or not name or "/" in name or Path(argument).exists():
        return None, Path(argument)
    return name, Path(folder)


def network(summary: Summary) -> str | None:
    """Name of the network that predicted; None where the results do not tell."""
    return "+".join(sorted({model.network for model in summary.models})) or None


def _distinct(folders: Sequence[Path], taken: set[str]) -> list[str]:
    """Names for the folders, short but all different: one part of each path, else its end."""
    parts = [[part for part in one.resolve().parts if part != "evaluate"] for one in folders]
    names: list[str] = []
    for depth in range(1, max(map(len, parts), default=0) + 1):
        ends = [one[-depth:] for one in parts]
        for names in ([end[0] for end in ends], ["/".join(end) for end in ends]):
            if len(set(names)) == len(names) and not set(names) & taken:
                return names
    return names


def _refuse_same(one: Results, seeds: Sequence[Results]) -> None:
    """Refuse as seeds of one model what is the same training, or another size of network."""
    for other in seeds:
        trained = [{(m.fold, m.seed) for m in results.summary.models} for results in (one, other)]
        sizes = {m.parameters for results in (one, other) for m in results.summary.models}
        if trained[0] & trained[1] or len(sizes) > 1:
            raise UsageError(
                f"{other.folder} and {one.folder} are both {network(one.summary)}, but not two "
                f"seeds of it. Tell them apart: A={other.folder} B={one.folder}."
            )
