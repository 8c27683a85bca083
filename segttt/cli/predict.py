"""segttt predict"""

from pathlib import Path
from typing import Annotated

import typer

from segttt.cli import console, options
from segttt.cli.plan import report_failures


def predict(
    scans: Annotated[Path, typer.Argument(help="One scan, or a folder of scans.", exists=True)],
    model: Annotated[
        Path,
        typer.Option(
            "--model", "-m", help="Workspace, network, fold or file to predict with.", exists=True
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Folder for the segmentations. [default: MODEL/predict/SCANS]"
        ),
    ] = None,
    folds: Annotated[
        str | None, typer.Option("--folds", help="Only these folds, e.g. 0,1. [default: all found]")
    ] = None,
    mirror: Annotated[
        bool | None, typer.Option(help="Average over mirrored copies: slower, a little better.")
    ] = None,
    overlap: Annotated[
        float | None, typer.Option(min=0, max=0.9, help="How much neighbouring windows overlap.")
    ] = None,
    skip_done: Annotated[
        bool, typer.Option("--skip-done", help="Keep finished cases of an earlier call.")
    ] = False,
    assignments: options.Settings = None,
    device: options.Device = "auto",
    dry_run: options.DryRun = False,
    as_json: options.AsJson = False,
) -> None:
    """Segment scans on their own grid; several folds are averaged.

    Examples:

    `segttt predict scans/ --model runs/hippo -o out/`

    `segttt predict scan.nii.gz -m runs/x/train/nnunet -o out/ --no-mirror --folds 0`
    """
    from segttt.commands.predict import Options, plan_prediction
    from segttt.commands.predict import predict as run

    changed = options.settings(assignments, predict__mirror=mirror, predict__overlap=overlap)
    chosen = Options(device, changed, folds.split(",") if folds else None, skip_done)
    target = out or _default_out(model, scans)
    if dry_run:
        files, cases = plan_prediction(scans, model, chosen)
        if as_json:
            console.emit_json(
                {"out": target, "models": files, "cases": [case.id for case in cases]}
            )
            return
        console.say(f"{len(cases)} cases, {len(files)} networks averaged, results in {target}")
        return
    result = run(scans, model, target, chosen, console.LiveWatch())
    failures = [failure.__dict__ for failure in result.failures]
    if as_json:
        console.emit_json(
            {
                "out": result.out,
                "done": result.done,
                "skipped": result.skipped,
                "failures": failures,
            }
        )
    else:
        kept = f", {len(result.skipped)} kept" if result.skipped else ""
        console.say(f"{len(result.done)} cases segmented{kept}, in {result.out}")
        report_failures(failures)
        console.next_command(f"segttt evaluate {result.out} TRUTH")
    if failures:
        raise typer.Exit(4 if result.done or result.skipped else 3)


def _default_out(model: Path, scans: Path) -> Path:
    folder = model if model.is_dir() else model.parent
    return folder / "predict" / scans.resolve().name.split(".")[0]
