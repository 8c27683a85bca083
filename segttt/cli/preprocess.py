"""segttt preprocess"""

import typer

from segttt.cli import console, options
from segttt.cli.plan import report_failures


def preprocess(
    workspace: options.WorkspaceFolder = None,
    data: options.Data = None,
    preset: options.Preset = None,
    cases: options.Cases = None,
    instances: options.Instances = False,
    assignments: options.Settings = None,
    workers: options.Workers = None,
    dry_run: options.DryRun = False,
    as_json: options.AsJson = False,
) -> None:
    """Bring every case onto the plan's grid; finished cases are kept unless their files change.

    Examples:

    `segttt preprocess -w runs/hippo`

    `segttt preprocess --data data/FLARE22 --preset flare22 --workers 8`
    """
    from segttt.cluster.cores import usable_cores
    from segttt.commands.plan import Request, existing_or_new
    from segttt.commands.preprocess import preprocess as run
    from segttt.io.store import finished, outdated
    from segttt.io.workspace import Workspace

    folder = options.workspace_folder(workspace, preset, data)
    count = workers or usable_cores()
    watch = console.LiveWatch()
    request = Request(
        Workspace(folder), data, preset, None, options.settings(assignments), cases, instances,
        workers=count,
    )  # fmt: skip
    planned = existing_or_new(request, watch, write=not dry_run)
    target = request.workspace.prepared(planned.plan)
    if dry_run:
        ids = {case.id for case in planned.dataset.cases}
        missing = len(ids - (finished(target) - outdated(target, planned.dataset.cases)))
        if as_json:
            console.emit_json({"folder": target, "to_make": missing, "kept": len(ids) - missing})
        else:
            console.say(f"{missing} of {len(ids)} cases to prepare in {target}")
        return
    result = run(planned.dataset, planned.plan, request.workspace, watch, workers=count)
    failures = [failure.__dict__ for failure in (*planned.failures, *result.failures)]
    if as_json:
        console.emit_json(
            {
                "folder": result.folder,
                "made": result.made,
                "kept": result.kept,
                "failures": failures,
            }
        )
    else:
        console.say(f"{result.made} cases prepared, {result.kept} kept, in {result.folder}")
        report_failures(failures)
        console.next_command(f"segttt train -w {folder}")
    if failures:
        raise typer.Exit(4 if result.made + result.kept else 3)
