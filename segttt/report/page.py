"""One HTML file that shows a result and asks for nothing: no network, no other file."""

import hashlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from segttt.config.plan import Plan
from segttt.config.report import Summary
from segttt.report.model_card import Card
from segttt.report.page_plan import plan_rows
from segttt.report.page_plots import Distribution, Panel
from segttt.report.page_views import Packed, Section
from segttt.report.style import colour
from segttt.report.tables import (
    Table,
    cell_table,
    label_table,
    lesion_table,
    number,
    spread_table,
)

VIEWER = "vendor/niivue/niivue.umd.js"
LICENCES = ("vendor/niivue/LICENSE", "vendor/niivue/LICENSE.bundled")


@dataclass(frozen=True)
class View:
    """One case that is shown."""

    id: str
    score: float | None
    """What the cases are ranked by."""
    sections: tuple[Section, ...]
    """Slices with outlines; a picture has one."""
    packed: Packed | None = None
    """For the viewer; None for pictures."""
    note: str = ""

    @property
    def size(self) -> int:
        """Bytes on the page, but for names."""
        drawn = sum(section.size for section in self.sections)
        return drawn + (self.packed.size if self.packed else 0)


@dataclass(frozen=True)
class Page:
    """What a report shows. Cases are referred to by their place in `views`."""

    title: str
    flat: bool
    """The cases are pictures."""
    ranked_by: str
    summary: Summary
    failures: Sequence[tuple[str, str]]
    """Cases that could not be scored, or not be shown, each with the reason."""
    names: Mapping[int, str]
    distributions: Sequence[Distribution]
    tables: Sequence[Mapping[str, Any]]
    cases: Sequence[str]
    views: Sequence[View]
    """Lowest score first."""
    worst: Sequence[int]
    best: Sequence[int]
    curves: Sequence[tuple[str, Sequence[Panel]]]
    """Per training its name and panels."""
    plan: Plan | None
    card: Card | None
    version: str


def render(page: Page) -> str:
    """The page as HTML; equal content gives equal text."""
    scripts = ["table.js", "pictures.js"] + ([] if page.flat else ["viewer.js"])
    sources = [] if page.flat else [_resource(VIEWER)]
    sources += [_resource(f"templates/{name}") for name in scripts]
    style = _resource("templates/page.css")
    environment = Environment(
        loader=PackageLoader("segttt.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    return environment.get_template("page.html.j2").render(
        page=page,
        summary=page.summary,
        policy=policy(sources, style),
        style=style,
        scripts=sources,
        tables=_tables(page.summary),
        spread=spread_table(page.summary) if page.summary.per_label else None,
        plan=plan_rows(page.plan) if page.plan else (),
        viewer=_viewer(page),
        licences=[] if page.flat else [_resource(name) for name in LICENCES],
        scores=_scores(page),
    )


def policy(scripts: Sequence[str], style: str) -> str:
    """A content-security policy that runs these scripts and this style, and loads nothing."""
    allowed = " ".join(_hash(script) for script in scripts)
    return (
        f"default-src 'none'; script-src {allowed}; style-src {_hash(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(content: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _resource(name: str) -> str:
    """A text file of this package, as a browser will see it."""
    return files("segttt.report").joinpath(name).read_text(encoding="utf-8")


def _tables(summary: Summary) -> list[Table]:
    """What the summary says in figures: labels, lesions, cells."""
    tables = [label_table(summary)] if summary.per_label else []
    if any(label.lesions for label in summary.per_label):
        tables.append(lesion_table(summary))
    cells = [summary.cells, *summary.more_cells] if summary.cells else []
    return tables + [cell_table(one) for one in cells]


def _scores(page: Page) -> dict[str, Any]:
    """What the table needs."""
    place = {view.id: i for i, view in enumerate(page.views)}
    return {
        "cases": list(page.cases),
        "views": [place.get(case) for case in page.cases],
        "tables": list(page.tables),
    }


def _viewer(page: Page) -> dict[str, Any]:
    """What the viewer needs beside the volumes."""
    return {
        "labels": [
            {"value": i, "name": name, "colour": colour(i - 1)}
            for i, name in enumerate(page.names.values(), start=1)
        ],
        "cases": [{"id": view.id, "score": number(view.score)} for view in page.views],
    }
