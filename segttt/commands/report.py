"""One HTML file with everything about a scored result, and a model card beside it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import segttt
from segttt.commands.reports.model_card import facts_of, read_metrics
from segttt.commands.reports.scores import Scores, distributions, read_scores, tables
from segttt.commands.reports.sources import Request, Sources, find_sources
from segttt.commands.reports.views import choose, is_flat, views_of, without_folders
from segttt.commands.watch import Watch
from segttt.config.text import read_json
from segttt.errors import UsageError
from segttt.io.files import write_text
from segttt.report.model_card import model_card
from segttt.report.page import Page, render
from segttt.report.page_plots import Panel, curves

CARD_NAME = "MODEL_CARD.md"
MEGABYTE = 1_000_000
TAGS_BYTES = 2_500  # of a case, beside its images and outlines


@dataclass(frozen=True)
class Budget:
    """How much a report may show."""

    cases: int = 40
    """Shown at most, the worst ones first."""
    max_mb: float = 15.0
    """Megabytes of the file; volumes are made coarser to keep it."""


@dataclass(frozen=True)
class Reported:
    """What was written."""

    report: Path
    card: Path | None
    """None where no training is known."""
    size: int
    """Bytes of the report."""
    n_cases: int
    n_shown: int
    broken: Sequence[tuple[str, str]]
    """Cases that cannot be shown, each with the reason."""


def report(request: Request, out: Path | None, budget: Budget, watch: Watch) -> Reported:
    """Write the report of one scored result; equal files give an equal report.

    A case whose files cannot be read is named, and the others go on. A `UsageError` where the
    figures alone take more than the budget.
    """
    sources = find_sources(request)
    scores = read_scores(sources.scores)
    chosen = choose([case.id for case in scores.cases], budget.cases)
    _refuse_strangers(sources, chosen)
    flat = is_flat(sources, chosen)
    page = _page(sources, scores, flat=flat)
    limit = budget.max_mb * MEGABYTE - len(render(page).encode()) - TAGS_BYTES * len(chosen)
    if limit <= 0:
        raise UsageError(
            f"--max-mb {budget.max_mb:g}: the figures alone take "
            f"{budget.max_mb - limit / MEGABYTE:.1f} MB. Allow more."
        )
    views = views_of(sources, scores, chosen, limit, watch, flat=flat)
    page = replace(
        page, views=views.shown, worst=views.worst, best=views.best,
        failures=[*page.failures, *views.broken],
    )  # fmt: skip
    path, text = report_file(sources, out), render(page)
    write_text(path, text)
    if page.card:
        write_text(path.parent / CARD_NAME, page.card.markdown())
    card = path.parent / CARD_NAME if page.card else None
    return Reported(
        path, card, len(text.encode()), len(scores.cases), len(views.shown), views.broken
    )


def _refuse_strangers(sources: Sources, chosen: Sequence[str]) -> None:
    """Refuse where the files of no case are known, rather than show a report without cases."""
    kinds = (
        ("segmentations", sources.predictions),
        ("true label maps", sources.truth),
        ("images", sources.images),
    )
    for what, files in kinds:
        if chosen and not set(chosen) & set(files):
            raise UsageError(
                f"{sources.scores}: the {what} of its cases are not known, e.g. of {chosen[0]}. "
                "Name all folders: segttt report PREDICTIONS TRUTH --images IMAGES."
            )


def report_file(sources: Sources, out: Path | None) -> Path:
    """Where the report goes: into the run, or beside the scores."""
    return out or (sources.run or sources.scores) / "report.html"


def _page(sources: Sources, scores: Scores, *, flat: bool) -> Page:
    """The page without its cases."""
    facts = facts_of(sources, scores.summary)
    names = scores.names or sources.labels or {1: "object"}
    return Page(
        title=_title(sources),
        flat=flat,
        ranked_by="F1" if scores.summary.cells else "mean Dice",
        summary=scores.summary,
        failures=_failures(sources),
        names=dict(enumerate(names.values(), start=1)),
        distributions=distributions(scores, flat=flat),
        tables=tables(scores, flat=flat),
        cases=[case.id for case in scores.cases],
        views=(),
        worst=(),
        best=(),
        curves=_curves(sources),
        plan=facts.plan if facts else sources.plan,
        card=model_card(facts) if facts else None,
        version=segttt.__version__,
    )


def _title(sources: Sources) -> str:
    if sources.plan is None or sources.dataset is None:
        return f"Segmentations of {sources.scores.resolve().parent.name}"
    network = sources.plan.network.name
    if sources.trainings:
        network = sources.trainings[0].parents[1].name
    return f"{network} on {sources.dataset.name}"


def _failures(sources: Sources) -> list[tuple[str, str]]:
    """Cases that could not be scored, with the reasons that evaluate wrote."""
    path = sources.scores / "failures.json"
    if not path.is_file():
        return []
    try:
        found = read_json(path)
        return [(str(one["id"]), without_folders(str(one["reason"]), sources)) for one in found]
    except (LookupError, TypeError) as error:
        raise UsageError(f"{path}: is damaged ({error}). Evaluate again.") from error


def _curves(sources: Sources) -> list[tuple[str, tuple[Panel, ...]]]:
    labels = list(sources.plan.labels.values()) if sources.plan else []
    found = []
    for folder in sources.trainings:
        panels = curves(read_metrics(folder), labels)
        if panels:
            fold, seed = (part.name for part in (folder.parent, folder))
            name = f"Fold {fold.removeprefix('fold')}, seed {seed.removeprefix('seed')}"
            found.append((name, panels))
    return found
