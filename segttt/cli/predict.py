"""segttt predict"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from segttt.cli import console, options
from segttt.cli.plan import report_failures
from segttt.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segttt.commands.predictions.outputs import Format, Output, SegType


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
    series: Annotated[
        list[str] | None,
        typer.Option(
            "--series",
            help="Only these DICOM series: an id, a number, or FIELD=PATTERN with modality, "
            "description, number, id or uid (repeatable, all must hold).",
        ),
    ] = None,
    resample_nonuniform: Annotated[
        bool,
        typer.Option(
            "--resample-nonuniform",
            help="Interpolate DICOM slices at irregular distances instead of refusing them.",
        ),
    ] = False,
    correct_tilt: Annotated[
        bool,
        typer.Option(
            "--correct-tilt", help="Straighten DICOM of a tilted gantry instead of refusing it."
        ),
    ] = False,
    written: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="nifti, dicom-seg or rtstruct (repeatable). [default: files as they came in; for "
            "DICOM nifti and dicom-seg]",
        ),
    ] = None,
    seg_type: Annotated[
        str, typer.Option("--seg-type", help="Kind of DICOM SEG: binary or labelmap.")
    ] = "binary",
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Also write a map of each label's probability.")
    ] = False,
    entropy: Annotated[
        bool,
        typer.Option("--entropy", help="Also write how uncertain each voxel is, from 0 to 1."),
    ] = False,
    max_ram: Annotated[
        str | None,
        typer.Option("--max-ram", help="Memory not to exceed, e.g. 6G. [default: what is free]"),
    ] = None,
    assignments: options.Settings = None,
    device: options.Device = "auto",
    dry_run: options.DryRun = False,
    as_json: options.AsJson = False,
) -> None:
    """Segment scans on their own grid; several folds are averaged.

    Examples:

    `segttt predict scans/ --model runs/hippo -o out/`

    `segttt predict scan.nii.gz -m runs/x/train/nnunet -o out/ --no-mirror --folds 0`

    `segttt predict from_scanner/ -m runs/hippo -o out/ --series modality=MR --format dicom-seg`

    `segttt predict from_scanner/ -m runs/hippo -o out/ --format nifti --format rtstruct`
    """
    from segttt.cases import Remedies
    from segttt.commands.predict import Options, plan_prediction
    from segttt.commands.predict import predict as run
    from segttt.commands.predictions.soft_maps import Soft

    changed = options.settings(assignments, predict__mirror=mirror, predict__overlap=overlap)
    output = _output(written or [], seg_type)
    only = folds.split(",") if folds else None
    chosen = Options(
        device, changed, only, skip_done, tuple(series or ()), output,
        Soft(entropy, probabilities), options.memory(max_ram),
        Remedies(resample_nonuniform, correct_tilt),
    )  # fmt: skip
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
        if result.done or result.skipped:
            console.next_command(f"segttt evaluate {result.out} TRUTH")
    if failures and not (result.done or result.skipped):
        raise typer.Exit(5 if all(one.stage == "memory" for one in result.failures) else 3)
    if failures:
        raise typer.Exit(4)


def _output(written: list[str], seg_type: str) -> "Output":
    from segttt.commands.predictions.outputs import Output

    for one in written:
        if one not in ("nifti", "dicom-seg", "rtstruct"):
            raise UsageError(f"--format {one}: use nifti, dicom-seg or rtstruct, each by itself.")
    if seg_type not in ("binary", "labelmap"):
        raise UsageError(f"--seg-type {seg_type}: use binary or labelmap.")
    return Output(cast("Sequence[Format]", written), cast("SegType", seg_type))


def _default_out(model: Path, scans: Path) -> Path:
    folder = model if model.is_dir() else model.parent
    return folder / "predict" / scans.resolve().name.split(".")[0]
