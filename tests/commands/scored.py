"""Folders of results as evaluate writes them, from scores that a test chooses."""

from collections.abc import Sequence
from pathlib import Path

from segttt.config.report import CaseScore, ModelFacts
from segttt.metrics.summary import summarise
from segttt.report.tables import cases_csv, cells_csv
from tests.metrics.cohorts import NAMES


def write_results(
    folder: Path, cases: Sequence[CaseScore], names: dict[int, str] | None = None, **changes
) -> Path:
    """Write the tables and the summary of `cases` into `folder`; `changes` are of the summary."""
    folder.mkdir(parents=True)
    names = NAMES if names is None else names
    summary = summarise(cases, names, protocol=changes.pop("protocol", "strict"))
    if names:
        (folder / "cases.csv").write_text(cases_csv(cases, names), encoding="utf-8")
    if summary.cells:
        (folder / "cells.csv").write_text(cells_csv(cases), encoding="utf-8")
    changed = summary.model_copy(update=changes)
    (folder / "summary.json").write_text(changed.dump(), encoding="utf-8")
    return folder


def trained(network: str, seed: int, **more) -> ModelFacts:
    """Facts of one training."""
    fields = {"fold": "all", "parameters": 1000, **more}
    return ModelFacts(network=network, seed=seed, **fields)
