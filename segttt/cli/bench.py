"""segttt bench"""

from typing import TYPE_CHECKING, Annotated

import typer

from segttt.cli import console, options

if TYPE_CHECKING:
    from segttt.commands.bench import Bench


def bench(
    workspace: options.WorkspaceFolder = None,
    data: options.Data = None,
    preset: options.Preset = None,
    network: options.Network = None,
    assignments: options.Settings = None,
    batches: Annotated[int, typer.Option(min=3, help="Batches to measure.")] = 10,
    device: options.Device = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads. [default: cores]")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Measure what bounds an epoch here: reading, augmentation, forward or backward pass.

    Needs prepared data; trains a few batches and throws the weights away.

    Examples:

    `segttt bench -w runs/hippo`

    `segttt bench -w runs/hippo --network mm-unet --set batch=4 --threads 1`
    """
    from segttt.commands.bench import bench as run
    from segttt.commands.plan import Request, existing_or_new
    from segttt.io.workspace import Workspace

    folder = options.workspace_folder(workspace, preset, data)
    watch = console.LiveWatch()
    request = Request(Workspace(folder), data, preset, network, options.settings(assignments))
    planned = existing_or_new(request, watch, write=False)
    result = run(
        planned.plan, request.workspace, watch, device=device, threads=threads, batches=batches
    )
    if as_json:
        console.emit_json(result.__dict__ | {"phases": result.phases.__dict__})
        return
    _tell(result, planned.plan.batch)


def _tell(result: "Bench", batch: int) -> None:
    phases = result.phases
    rows = [
        ("read", phases.read, "in a thread of its own, ahead of time"),
        ("augment", phases.augment, ""),
        ("forward", phases.forward, "with the loss"),
        ("backward", phases.backward, "with the optimiser"),
        ("step", phases.step, "as a training runs it"),
        ("validate", phases.validate, "one batch of the epoch's end"),
    ]
    parts = phases.parts
    total = sum(parts.values())
    title = (
        f"One batch of {batch}, median of {result.batches}, {result.dtype} on {result.device}, "
        f"{result.threads} threads"
    )
    console.table(
        title,
        ("part", "ms", "share", ""),
        [
            [
                name,
                f"{1000 * seconds:.1f}",
                f"{100 * seconds / total:.0f} %" if name in parts else "",
                what,
            ]
            for name, seconds, what in rows
        ],
    )
    console.say(
        f"An epoch takes about {result.epoch_seconds:.0f} s, the training "
        f"{result.training_hours:.1f} h, at {result.patches_per_second:.2f} patches per second; "
        f"it waits for: {result.bound}."
    )
    for sentence in result.advice:
        console.note(sentence)
