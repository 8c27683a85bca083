"""segttt data"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segttt.cli import console, options

if TYPE_CHECKING:
    from segttt.commands.check_series import Found

data_app = typer.Typer(help="Look at data before planning.", no_args_is_help=True)


@data_app.command("check")
def check(
    data: Annotated[Path, typer.Argument(help="Folder of the data.", exists=True)],
    preset: options.Preset = None,
    instances: options.Instances = False,
    workers: options.Workers = None,
    as_json: options.AsJson = False,
) -> None:
    """Read every case fully and say per case what is wrong and how to repair it.

    Of a folder from a scanner it lists the DICOM series, by whose ids `predict --series` chooses.

    Examples:

    `segttt data check data/Task04_Hippocampus`

    `segttt data check data/nuclei --instances --json`

    `segttt data check from_scanner/`
    """
    from segttt.cluster.cores import usable_cores
    from segttt.commands.check import check as run
    from segttt.commands.check_series import check_series
    from segttt.io.layouts.read import is_study

    if is_study(data):
        found = check_series(data, console.LiveWatch(), workers=workers or usable_cores())
        _tell_series(found, as_json=as_json)
        if found.problems:
            raise typer.Exit(4 if found.good else 3)
        return
    result = run(data, console.LiveWatch(), preset=preset, instances=instances,
                 workers=workers or usable_cores())  # fmt: skip
    if as_json:
        console.emit_json(result.__dict__)
    else:
        for one, problems in result.problems.items():
            console.say(f"{one}:")
            for problem in problems:
                console.say(f"  {problem}")
        console.say(f"{result.good} cases can be used, {result.bad} cannot.")
    if result.bad:
        raise typer.Exit(4 if result.good else 3)


def _tell_series(found: "Found", *, as_json: bool) -> None:
    if as_json:
        console.emit_json(found.as_json())
        return
    rows = [
        (
            one.id,
            one.modality or "?",
            "" if one.number is None else str(one.number),
            str(one.files),
            " x ".join(map(str, one.shape)) if one.shape else "no volume",
            " x ".join(f"{step:.4g}" for step in one.spacing_mm) if one.spacing_mm else "",
            one.description,
        )
        for one in found.series
    ]
    header = ["Series", "Modality", "Number", "Files", "Voxels (z, y, x)", "mm", "Description"]
    console.table("", header, rows, prose="Description")
    for one, problems in found.problems.items():
        console.say(f"{one}: {' '.join(problems)}")
    if found.skipped:
        left = ", ".join(f"{n} x {kind}" for kind, n in sorted(found.skipped.items()))
        console.say(f"Left out: {left}")
    console.say(f"{found.good} series can be used, {len(found.problems)} cannot.")
