"""segttt evaluate"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segttt.cli import console, options
from segttt.cli.plan import report_failures
from segttt.errors import UsageError

MOST_NAMED = 5

if TYPE_CHECKING:
    from segttt.config.report import LesionRule, Summary


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
    iou: Annotated[
        str | None,
        typer.Option("--iou", help="Overlaps at which cells are counted, e.g. 0.5,0.75."),
    ] = None,
    lesions: Annotated[
        str | None,
        typer.Option(
            "--lesions",
            help="Count lesions of each label: any (one shared voxel finds it), or by iou=0.1; "
            "also volume=10 (smallest, mm³) and faces (do not join over corners).",
        ),
    ] = None,
    workers: options.Workers = None,
    dry_run: options.DryRun = False,
    as_json: options.AsJson = False,
) -> None:
    """Score segmentations: Dice, IoU, NSD, HD95, ASSD per label and case; F1 and PQ of cells.

    Examples:

    `segttt evaluate out/ data/labelsTs`

    `segttt evaluate out/ data/labelsTs --preset flare22 --protocol paper`

    `segttt evaluate out/ labels/ --labels 1=liver,3=spleen --json`

    `segttt evaluate out/ labels/ --lesions any,volume=10`
    """
    from segttt.cluster.cores import usable_cores
    from segttt.commands.evaluate import evaluate as run
    from segttt.commands.scores.pairing import pairs
    from segttt.commands.scores.scoring import Request

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

    request = Request(
        protocol, preset, tolerance, _labels(labels), instances, surfaces, _ious(iou),
        _lesions(lesions),
    )  # fmt: skip
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
            named = ", ".join(result.surplus[:MOST_NAMED])
            more = ", ..." if len(result.surplus) > MOST_NAMED else ""
            console.note(f"Predictions without truth, not scored: {named}{more}")
        report_failures(failures)
    if failures:
        raise typer.Exit(4 if result.scores else 3)


def _tables(summary: "Summary") -> None:
    """The scores in words and figures."""
    from segttt.report.tables import cell_table, label_table, lesion_table, spread_table

    title = f"{summary.n_cases} cases, protocol {summary.protocol}"
    for one in (summary.cells, *summary.more_cells):
        if one:
            cells = cell_table(one)
            console.table(title, cells.header, cells.rows)
    if summary.per_label:
        scores, spread, lesions = (
            make(summary) for make in (label_table, spread_table, lesion_table)
        )
        console.table(title, scores.header, scores.rows)
        if summary.n_cases > 1:
            console.table("Over the cases", spread.header, spread.rows, prose="Worst")
        if lesions.rows:
            console.table("Lesions over all cases", lesions.header, lesions.rows)
        console.say(deviations(summary))
    for remark in summary.remarks:
        console.note(remark)


def deviations(summary: "Summary") -> str:
    """Mean Dice and NSD with both deviations, each named; a line for each."""
    dice = (summary.mean_dice, summary.ci95, summary.sd_cases, summary.sd_labels)
    nsd = (summary.mean_nsd, summary.nsd_ci95, summary.nsd_sd_cases, summary.nsd_sd_labels)
    rows = [("Dice", *dice)] + ([("NSD", *nsd)] if summary.mean_nsd is not None else [])
    return "\n".join(_deviations(*row) for row in rows)


def _deviations(
    name: str,
    mean: float | None,
    interval: tuple[float, float] | None,
    sd_cases: float | None,
    sd_labels: float | None,
) -> str:
    figures = ("–" if one is None else f"{one:.4f}" for one in (mean, sd_cases, sd_labels))
    between = f" (95 % CI {interval[0]:.4f} to {interval[1]:.4f})" if interval else ""
    return "Mean {} {}{}, SD over cases {}, SD over labels {}".format(
        name, next(figures), between, *figures
    )


def _ious(text: str | None) -> tuple[float, ...]:
    """The overlaps of 0.5,0.75."""
    try:
        found = tuple(float(part) for part in text.split(",")) if text is not None else ()
    except ValueError as error:
        raise UsageError(f"--iou {text}: write it like 0.5,0.75.") from error
    if not all(0 < one <= 1 for one in found):
        raise UsageError(f"--iou {text}: an overlap is above 0 and at most 1.")
    return found


def _lesions(text: str | None) -> "LesionRule | None":
    """The rule of any,volume=10 or iou=0.1,faces."""
    if text is None:
        return None
    from segttt.config.report import LesionRule

    fields: dict[str, Any] = {}
    for part in text.split(","):
        name, _, value = part.strip().partition("=")
        try:
            if name in ("iou", "volume"):
                fields["smallest_mm3" if name == "volume" else name] = float(value)
            elif part.strip() == "faces":
                fields["connectivity"] = "faces"
            elif part.strip() != "any":
                raise ValueError
        except ValueError as error:
            raise UsageError(
                f"--lesions {text}: write it like any or any,volume=10 or iou=0.1,faces."
            ) from error
    if not (0 < fields.get("iou", 1) <= 1 and 0 <= fields.get("smallest_mm3", 0) < float("inf")):
        raise UsageError(f"--lesions {text}: iou is above 0 and at most 1, volume not negative.")
    return LesionRule(**fields)


def _labels(text: str | None) -> dict[int, str] | None:
    if text is None:
        return None
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(value.strip().isdigit() and int(value) > 0 for value, _, _ in pairs):
        raise UsageError(f"--labels {text}: write it like 1=liver,2=spleen.")
    return {int(value): name.strip() or f"label {value}" for value, _, name in pairs}
