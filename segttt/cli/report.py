"""segttt report"""

from pathlib import Path
from typing import Annotated

import typer

from segttt.cli import console, options


def report(
    predictions: Annotated[
        Path | None,
        typer.Argument(help="Folder of scored segmentations. [default: of the run]", exists=True),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Argument(help="Folder of true label maps. [default: the run's data]", exists=True),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            "--workspace",
            "-w",
            help="Run of the model, for curves, plan and model card.",
            exists=True,
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option("--images", help="Folder of the images. [default: beside TRUTH]", exists=True),
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(
            "--scores", help="Folder of the scores. [default: PREDICTIONS/evaluate]", exists=True
        ),
    ] = None,
    network: Annotated[
        str | None, typer.Option("--network", "-n", help="Training of this network or name.")
    ] = None,
    fold: Annotated[str | None, typer.Option("--fold", help="Training of this fold.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Training of this seed.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The HTML file. [default: RUN/report.html]")
    ] = None,
    cases: Annotated[
        int, typer.Option("--cases", min=1, help="Cases to show, worst ones first.")
    ] = 40,
    max_mb: Annotated[
        float, typer.Option("--max-mb", min=1, help="Largest size of the file, in megabytes.")
    ] = 15.0,
    dry_run: options.DryRun = False,
    as_json: options.AsJson = False,
) -> None:
    """Show a scored result in one offline HTML file, and write the model card beside it.

    Examples:

    `segttt report -w runs/hippo --fold 0`

    `segttt report out/ data/labelsTs -w runs/hippo`

    `segttt report out/ labels/ --images images/ -o report.html --cases 12`
    """  # fmt: skip
    from segttt.commands.report import Budget, report_file
    from segttt.commands.report import report as write
    from segttt.commands.reports.sources import Request, find_sources

    request = Request(predictions, truth, images, scores, run, network, fold, seed)
    if dry_run:
        sources = find_sources(request)
        target = report_file(sources, out)
        if as_json:
            console.emit_json({"report": target, "scores": sources.scores})
        else:
            console.say(f"Would write {target} from the scores in {sources.scores}")
        return
    done = write(request, out, Budget(cases, max_mb), console.LiveWatch())
    for case, reason in done.broken:
        console.note(f"{case}: {reason}")
    if as_json:
        console.emit_json(
            {"report": done.report, "model_card": done.card, "bytes": done.size,
             "cases": done.n_cases, "shown": done.n_shown, "failures": dict(done.broken)}
        )  # fmt: skip
    else:
        card = f" and {done.card}" if done.card else ""
        console.say(
            f"{done.n_shown} of {done.n_cases} cases shown, {done.size / 1e6:.1f} MB: "
            f"{done.report}{card}"
        )
    if done.broken:
        raise typer.Exit(4)
