"""segttt demo"""

from pathlib import Path
from typing import Annotated

import typer

from segttt.cli import console, options
from segttt.cli.evaluate import deviations


def demo(
    folder: Annotated[Path, typer.Option("--out", "-o", help="Folder of the demo.")] = Path("demo"),
    network: Annotated[
        str, typer.Option("--network", "-n", help="Network by name.")
    ] = "ttt-unet-bot",
    time_limit: Annotated[str, typer.Option(help="How long to train.")] = "2m",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the cohort and the training.")] = 0,
    dry_run: options.DryRun = False,
    as_json: options.AsJson = False,
) -> None:
    """Run the whole job on synthetic CT volumes: no data needed, a few minutes on a laptop.

    Example: `segttt demo`
    """
    if dry_run:
        console.say(
            f"Would write 20 phantom cases and train {network} for {time_limit} in {folder}"
        )
        return
    from segttt.cluster.cores import usable_cores
    from segttt.commands.demo import demonstrate
    from segttt.report.tables import label_table

    result = demonstrate(
        folder, console.LiveWatch(), seed=seed, network=network,
        limit_seconds=options.seconds(time_limit) or 0, workers=usable_cores(),
    )  # fmt: skip
    summary = result.evaluated.summary
    if as_json:
        console.emit_json(
            {"seconds": result.seconds, "picture": result.picture,
             "summary": summary.model_dump(mode="json")}
        )  # fmt: skip
        return
    scores = label_table(summary)
    console.table(f"{network} on {summary.n_cases} phantom test cases", scores.header, scores.rows)
    console.say(deviations(summary))
    console.say(f"Trained {result.trained.seconds:.0f} s, everything took {result.seconds:.0f} s.")
    console.say(f"Truth and prediction: {result.picture}")
    console.next_command("segttt train --preset laptop --data YOUR_DATA")
