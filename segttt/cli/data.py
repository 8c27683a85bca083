"""segttt data"""

from pathlib import Path
from typing import Annotated

import typer

from segttt.cli import console, options

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

    Examples:

    `segttt data check data/Task04_Hippocampus`

    `segttt data check data/nuclei --instances --json`
    """
    from segttt.cluster.cores import usable_cores
    from segttt.commands.check import check as run

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
