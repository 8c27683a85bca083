"""segttt compare"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segttt.cli import console, options

if TYPE_CHECKING:
    from segttt.commands.compare import Gathered
    from segttt.config.comparison import Comparison
    from segttt.report.comparison_columns import Sheet


def compare(
    results: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME=]FOLDER...",
            help="Folders of predictions or of their scores; folders of one name are its seeds.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the tables.")] = Path(
        "compare"
    ),
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            "-p",
            help="Show the published figures of this preset. [default: the models' own]",
        ),
    ] = None,
    dry_run: options.DryRun = False,
    as_json: options.AsJson = False,
) -> None:
    """Compare models case by case: differences, tests, ranks, cost; published figures beside.

    Without a name a folder goes under its network, so seeds of one network group by themselves.

    Examples:

    `segttt compare out_ttt/ out_nnunet/`

    `segttt compare ttt=s0/ ttt=s1/ ttt=s2/ nnunet=n0/ nnunet=n1/ nnunet=n2/ -o compare/`

    `segttt compare a/ b/ --preset flare22 --json`
    """
    from segttt.commands.compare import compare as run
    from segttt.commands.compare import gather

    if dry_run:
        _plan(gather(results, preset), out, as_json=as_json)
        return
    comparison = run(results, out, preset=preset)
    if as_json:
        console.emit_json({"out": out, "comparison": comparison.model_dump(mode="json")})
        return
    _tables(comparison)
    console.say(f"Tables: {out / 'comparison.html'}, and as .md, .tex, .json")


def _plan(gathered: "Gathered", out: Path, *, as_json: bool) -> None:
    """What would be compared."""
    models = {name: [str(one.folder) for one in seeds] for name, seeds in gathered.models.items()}
    if as_json:
        console.emit_json(
            {"out": out, "models": models, "cases": gathered.cases, "left_out": gathered.left_out}
        )
        return
    for name, folders in models.items():
        console.say(f"{name}: {', '.join(folders)}")
    left_out = f", {len(gathered.left_out)} left out" if gathered.left_out else ""
    console.say(f"{len(gathered.cases)} common cases{left_out}, tables in {out}")


def _tables(comparison: "Comparison") -> None:
    """What decides, in tables and words; labels and published labels are in the files."""
    from segttt.report import comparison as words
    from segttt.report.comparison_columns import costs, scores, seeds

    overall = [one for one in comparison.measures if one.label is None]
    _table(scores(comparison), words.headline(comparison))
    if spread := seeds(comparison):
        _table(spread)
    _table(costs(comparison))
    for measure in overall:
        if measure.differences:
            _table(words.differences([measure]), without=("p", "cases"))
        if measure.ranking:
            _table(words.ranking(measure, comparison.resamples))
    for sentence in words.findings(comparison):
        console.say(sentence)
    for note in comparison.notes:
        console.note(note)


def _table(sheet: "Sheet", title: str | None = None, without: Sequence[str] = ()) -> None:
    """A table without some columns; groups of rows follow each other under their titles."""
    kept = [i for i, name in enumerate(sheet.header) if name not in without]
    rows = []
    for group in sheet.groups:
        if group.title:
            rows.append([group.title, *[""] * (len(kept) - 1)])
        rows += [[row[i] for i in kept] for row in group.rows]
    header = [sheet.header[i] for i in kept]
    console.table(title or sheet.title, header, rows, prose=header[0])
    for sentence in sheet.said:
        console.say(sentence)
