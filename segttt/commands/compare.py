"""Compare models case by case, with published figures beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from segttt.commands.scores.agreement import label_names, refuse_mixed
from segttt.commands.scores.results import Results, by_model
from segttt.config import preset as presets
from segttt.config.comparison import ComparedModel, Comparison
from segttt.config.preset import Preset
from segttt.errors import UsageError
from segttt.io.files import write_text
from segttt.metrics.comparison import SEED, measures
from segttt.metrics.statistics import FEWEST, RESAMPLES
from segttt.report.comparison import document
from segttt.report.comparison_columns import plain
from segttt.report.comparison_html import html
from segttt.report.comparison_latex import latex
from segttt.report.comparison_markdown import markdown

Models = Mapping[str, Sequence[Results]]
NAMED = 10
"""Cases that a note names before it stops."""


@dataclass(frozen=True)
class Gathered:
    """What is to be compared."""

    models: Models
    """Name -> results of its seeds."""
    cases: tuple[str, ...]
    """Those that every folder has."""
    left_out: dict[str, tuple[str, ...]]
    """Case -> folders that lack it."""
    preset: Preset | None
    """Whose published figures are shown; None where there are none."""


def gather(arguments: Sequence[str], preset: str | None = None) -> Gathered:
    """Read and check the results that the arguments name, `[NAME=]FOLDER`.

    Raises `UsageError` where they are missing or scored by different rules, and `DataError` where
    they are broken or scored against different truths.
    """
    models = by_model(arguments)
    results = [one for seeds in models.values() for one in seeds]
    refuse_mixed(results)
    shared = set.intersection(*(set(one.cases) for one in results))
    if not shared:
        raise UsageError(
            "No case is in all of these folders. Compare predictions of the same cases."
        )
    everywhere = set().union(*(one.cases for one in results))
    left_out = {
        case: tuple(str(one.folder) for one in results if case not in one.cases)
        for case in sorted(everywhere - shared)
    }
    shown = _named(preset) if preset else _told_by(results)
    return Gathered(models, tuple(sorted(shared)), left_out, shown)


def compare(arguments: Sequence[str], out: Path, *, preset: str | None = None) -> Comparison:
    """Compare the models and write the tables to `out`; raises as `gather`."""
    gathered = gather(arguments, preset)
    results = [one for seeds in gathered.models.values() for one in seeds]
    scored = measures(
        {
            name: [[one.cases[case] for case in gathered.cases] for one in seeds]
            for name, seeds in gathered.models.items()
        },
        label_names(results),
    )
    shown = gathered.preset
    comparison = Comparison(
        protocol=results[0].summary.protocol,
        cases=gathered.cases,
        left_out=gathered.left_out,
        models=tuple(_model(name, seeds) for name, seeds in gathered.models.items()),
        measures=scored,
        preset=shown.name if shown else None,
        published=shown.targets if shown else (),
        published_notes=shown.notes if shown else (),
        notes=tuple(_notes(gathered, results[0].summary.protocol)),
        resamples=RESAMPLES,
        seed=SEED,
    )
    write(out, comparison)
    return comparison


def write(out: Path, comparison: Comparison) -> None:
    """The comparison for programs, and its tables for a page, a paper and a browser."""
    whole = document(comparison)
    write_text(out / "comparison.json", comparison.dump())
    write_text(out / "comparison.md", markdown(whole))
    write_text(out / "comparison.tex", latex(whole))
    write_text(out / "comparison.html", html(whole))


def _named(name: str) -> Preset:
    """The preset that was asked for; a `UsageError` where it has no published figures."""
    chosen = presets.load(name)
    if not chosen.targets:
        known = ", ".join(one for one in presets.names() if presets.load(one).targets)
        raise UsageError(
            f"The preset '{name}' has no published figures. Those of {known} are there."
        )
    return chosen


def _told_by(results: Sequence[Results]) -> Preset | None:
    """The preset that all models were planned with, where its published figures are of the labels
    that were scored here."""
    named = {model.preset for one in results for model in one.summary.models}
    only = named.pop() if len(named) == 1 else None
    found = presets.load(only) if only in presets.names() else None
    if found is None or found.dataset is None or not found.targets:
        return None
    theirs = {plain(name) for name in found.dataset.labels.values()}
    ours = {plain(name) for name in label_names(results).values()}
    return found if ours <= theirs or results[0].summary.cells else None


def _model(name: str, seeds: Sequence[Results]) -> ComparedModel:
    trained = [model for one in seeds for model in one.summary.models]
    sizes = {model.parameters for model in trained}
    times = [m.training_seconds for m in trained if m.training_seconds is not None]
    peaks = [m.training_peak_bytes for m in trained if m.training_peak_bytes is not None]
    waits = [s for s in (one.summary.seconds_per_case for one in seeds) if s is not None]
    return ComparedModel(
        name=name,
        folders=tuple(str(one.folder) for one in seeds),
        parameters=sizes.pop() if len(sizes) == 1 else None,
        training_seconds=fmean(times) if times else None,
        training_peak_bytes=max(peaks, default=None),
        seconds_per_case=fmean(waits) if waits else None,
    )


def _notes(gathered: Gathered, protocol: str) -> list[str]:
    """What limits the comparison, one sentence or two each."""
    notes = []
    if gathered.left_out:
        named = [f"{case} (not in {', '.join(w)})" for case, w in gathered.left_out.items()]
        more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
        notes.append(
            f"Cases that not every folder has are left out, {len(named)} in all: "
            f"{'; '.join(named[:NAMED])}{more}."
        )
    if len(gathered.cases) < FEWEST:
        notes.append(
            f"Only {len(gathered.cases)} cases are common to all, too few for intervals, tests and "
            f"bootstrapped ranks: these need at least {FEWEST}."
        )
    single = [name for name, seeds in gathered.models.items() if len(seeds) == 1]
    if single:
        whose = "every model" if len(single) == len(gathered.models) else ", ".join(single)
        notes.append(
            f"One seed only of {whose}: tests and intervals speak of these trained networks on "
            "more such cases, not of what another seed would give."
        )
    if protocol == "nnunet":
        notes.append(
            "The protocol nnunet averages over cases before labels; what is paired by case here "
            "is averaged over labels first."
        )
    return notes
