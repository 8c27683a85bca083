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
    workers: options.Workers = None,
    dry_run: options.DryRun = False,
    as_json: options.AsJson = False,
) -> None:
    """Score segmentations: Dice and IoU per label and case, empty cases counted apart.

    Examples:

    `segttt evaluate out/ data/labelsTs`

    `segttt evaluate out/ labels/ --labels 1=liver,3=spleen --json`
    """
    from segttt.cluster.cores import usable_cores
    from segttt.commands.evaluate import evaluate as run
    from segttt.commands.evaluate import pairs
    from segttt.report.tables import label_table

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

    result = run(
        predictions, truth, target, console.LiveWatch(),
        labels=_labels(labels), workers=workers or usable_cores(),
    )  # fmt: skip
    failures = [failure.__dict__ for failure in result.failures]
    if as_json:
        console.emit_json(
            {"summary": result.summary.model_dump(mode="json"), "failures": failures,
             "surplus": result.surplus}
        )  # fmt: skip
    else:
        scores = label_table(result.summary)
        title = f"{result.summary.n_cases} cases, protocol {result.summary.protocol}"
        console.table(title, scores.header, scores.rows)
        console.say(deviations(result.summary))
        console.say(f"Per case: {result.out / 'cases.csv'}")
        if result.surplus:
            console.note(
                f"{len(result.surplus)} predictions have no truth, e.g. {result.surplus[0]}."
            )
        report_failures(failures)
    if failures:
        raise typer.Exit(4 if result.scores else 3)


def deviations(summary: "Summary") -> str:
    """The mean Dice with both deviations, each named."""
    figures = (summary.mean_dice, summary.sd_cases, summary.sd_labels)
    mean, cases, labels = ("–" if one is None else f"{one:.4f}" for one in figures)
    return f"Mean Dice {mean}, SD over cases {cases}, SD over labels {labels}"


def _labels(text: str | None) -> dict[int, str] | None:
    if text is None:
        return None
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(value.strip().isdigit() and int(value) > 0 for value, _, _ in pairs):
        raise UsageError(f"--labels {text}: write it like 1=liver,2=spleen.")
    return {int(value): name.strip() or f"label {value}" for value, _, name in pairs}
