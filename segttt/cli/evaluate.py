"""segttt evaluate"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segttt.cli import console, options
from segttt.cli.plan import report_failures
from segttt.errors import UsageError

if TYPE_CHECKING:
    from segttt.config.report import Summary


def evaluate(
    predictions: Annotated[Path, typer.Argument(help="Folder of segmentations.", exists=True)],
    truth: Annotated[Path, typer.Argument(help="Folder of true label maps.", exists=True)],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder of the scores. [default: PREDICTIONS/evaluate]"),
    ] = None,
    labels: Annotated[
        str | None, typer.Option("--labels", help="Labels to score, e.g. 1=liver,2=spleen.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option("--preset", "-p", help="Take labels and tolerances from this preset."),
    ] = None,
    protocol: Annotated[
        str, typer.Option("--protocol", help="strict, paper, flare22 or nnunet.")
    ] = "strict",
    tolerance: Annotated[
        float | None,
        typer.Option("--tolerance", min=0, help="Of the NSD, in mm (pixels), where none is set."),
    ] = None,
    surfaces: Annotated[
        bool, typer.Option(help="Score surfaces (NSD, HD95, ASSD), not the overlap alone.")
    ] = True,
    instances: Annotated[
        bool, typer.Option("--instances", help="Both folders number objects; score F1 and PQ.")
    ] = False,
    workers: options.Workers = None,
    dry_run: options.DryRun = False,
    as_json: options.AsJson = False,
) -> None:
    """Score segmentations: Dice, IoU, NSD, HD95, ASSD per label and case; F1 and PQ of cells.

    Examples:

    `segttt evaluate out/ data/labelsTs`

    `segttt evaluate out/ data/labelsTs --preset flare22 --protocol paper`

    `segttt evaluate out/ labels/ --labels 1=liver,3=spleen --json`
    """
    from segttt.cluster.cores import usable_cores
    from segttt.commands.evaluate import evaluate as run
    from segttt.commands.evaluate import pairs
    from segttt.commands.scoring import Request

    if protocol not in ("strict", "paper", "flare22", "nnunet"):
        raise UsageError(f"--protocol {protocol}: use strict, paper, flare22 or nnunet.")
    target = out or predictions / "evaluate"
    if dry_run:
        expected, given = pairs(predictions, truth)
        both = len(set(expected) & set(given))
        content = {"out": target, "to_score": both, "missing": len(expected) - both}
        if as_json:
            console.emit_json(content)
        else:
            missing = len(expected) - both
            console.say(f"{both} cases to score, {missing} not predicted, results in {target}")
        return

    request = Request(protocol, preset, tolerance, _labels(labels), instances, surfaces)
    result = run(
        predictions, truth, target, console.LiveWatch(),
        request=request, workers=workers or usable_cores(),
    )  # fmt: skip
    failures = [failure.__dict__ for failure in result.failures]
    if as_json:
        console.emit_json(
            {"summary": result.summary.model_dump(mode="json"), "failures": failures,
             "surplus": result.surplus}
        )  # fmt: skip
    else:
        _tables(result.summary)
        table = "cases.csv" if result.summary.per_label else "cells.csv"
        console.say(f"Per case: {result.out / table}")
        if result.surplus:
            console.note(
                f"{len(result.surplus)} predictions have no truth, e.g. {result.surplus[0]}."
            )
        report_failures(failures)
    if failures:
        raise typer.Exit(4 if result.scores else 3)


def _tables(summary: "Summary") -> None:
    """The scores in words and figures."""
    from segttt.report.tables import cell_table, label_table

    title = f"{summary.n_cases} cases, protocol {summary.protocol}"
    if summary.cells:
        cells = cell_table(summary.cells)
        console.table(title, cells.header, cells.rows)
    if summary.per_label:
        scores = label_table(summary)
        console.table(title, scores.header, scores.rows)
        console.say(deviations(summary))
    for remark in summary.remarks:
        console.note(remark)


def deviations(summary: "Summary") -> str:
    """The mean Dice with both deviations, each named."""
    figures = (summary.mean_dice, summary.sd_cases, summary.sd_labels)
    mean, cases, labels = ("–" if one is None else f"{one:.4f}" for one in figures)
    interval = f" (95 % CI {summary.ci95[0]:.4f} to {summary.ci95[1]:.4f})" if summary.ci95 else ""
    return f"Mean Dice {mean}{interval}, SD over cases {cases}, SD over labels {labels}"


def _labels(text: str | None) -> dict[int, str] | None:
    if text is None:
        return None
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(value.strip().isdigit() and int(value) > 0 for value, _, _ in pairs):
        raise UsageError(f"--labels {text}: write it like 1=liver,2=spleen.")
    return {int(value): name.strip() or f"label {value}" for value, _, name in pairs}
