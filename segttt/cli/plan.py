"""segttt plan"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from segttt.cli import console, options

if TYPE_CHECKING:
    from segttt.commands.plans.estimate import Estimate
    from segttt.config.plan import Plan

SHOWN = 10  # failures printed; all are in check.json


def plan(
    data: Annotated[Path | None, typer.Argument(help="Folder of the data, or a manifest.")] = None,
    workspace: options.WorkspaceFolder = None,
    preset: options.Preset = None,
    network: options.Network = None,
    cases: options.Cases = None,
    splits: options.Splits = None,
    instances: options.Instances = False,
    planner: options.Planner = "v2.1",
    recipe: options.Recipe = None,
    dims: options.Dims = None,
    assignments: options.Settings = None,
    workers: options.Workers = None,
    measure: Annotated[
        bool, typer.Option(help="Measure one training step to estimate the time.")
    ] = True,
    show: Annotated[bool, typer.Option("--show", help="Print the workspace's plan.")] = False,
    dry_run: options.DryRun = False,
    as_json: options.AsJson = False,
) -> None:
    """Check the data and plan patch, batch, stages and training.

    Examples:

    `segttt plan data/Task04_Hippocampus -w runs/hippo --preset laptop`

    `segttt plan data/FLARE22 --preset flare22 --dry-run`

    `segttt plan --show -w runs/hippo`
    """
    if show:
        _show(options.workspace_folder(workspace, preset, data), as_json=as_json)
        return
    from segttt.cluster.cores import usable_cores
    from segttt.commands.plan import Request, make
    from segttt.commands.plans.estimate import estimate
    from segttt.io.workspace import Workspace

    folder = options.workspace_folder(workspace, preset, data)
    request = Request(
        Workspace(folder),
        data,
        preset,
        network,
        options.settings(assignments),
        cases,
        instances,
        cast("Literal['v2.1', 'v2.8']", planner),
        workers or usable_cores(),
        options.recipe_name(recipe),
        options.rank(dims),
        splits,
    )
    planned = make(request, console.LiveWatch(), write=not dry_run)
    figures = estimate(planned.plan, planned.fingerprint, measure=measure)
    if as_json:
        console.emit_json(
            {
                "workspace": str(folder),
                "plan": planned.plan.model_dump(mode="json"),
                "estimate": figures.__dict__,
                "failures": [failure.__dict__ for failure in planned.failures],
            }
        )
    else:
        console.facts(f"Plan {planned.plan.name}", plan_rows(planned.plan))
        console.facts("Estimates for this machine", estimate_rows(figures))
        report_failures([failure.__dict__ for failure in planned.failures])
        source = f"--data {data} " if dry_run else ""
        chosen = f"--preset {preset} " if dry_run and preset else ""
        console.next_command(f"segttt train {source}{chosen}-w {folder}")
    if planned.failures:
        raise typer.Exit(4)


def plan_rows(plan: "Plan") -> list[tuple[str, str]]:
    """The decisive fields of a plan as names and values."""
    topology = plan.topology
    return [
        ("preset", plan.preset or "none"),
        ("network", plan.network.name),
        ("classes", f"background, {', '.join(plan.labels.values())}"),
        ("spacing (z, y, x)", " x ".join(f"{mm:g}" for mm in plan.spacing_mm) + " mm"),
        ("normalisation", ", ".join(one.scheme for one in plan.normalisation)),
        ("patch", " x ".join(map(str, topology.patch)) + " voxels"),
        ("batch", str(plan.batch)),
        ("stages", f"{topology.stages}, features {', '.join(map(str, topology.features))}"),
        ("strides", "  ".join("x".join(map(str, step)) for step in topology.strides)),
        ("training", f"{plan.train.epochs} epochs of {plan.train.iterations} steps, "
                     f"{plan.train.optimizer} {plan.train.lr:g}, {plan.train.schedule}"),
    ]  # fmt: skip


def estimate_rows(figures: "Estimate") -> list[tuple[str, str]]:
    """Estimates as names and values."""
    rows = [
        ("parameters", f"{figures.parameters:,}"),
        ("training memory", _memory(figures.memory_bytes)),
        ("prepared data on disk", f"at most {figures.disk_bytes / 2**20:,.0f} MiB"),
    ]
    if figures.seconds_per_epoch is not None:
        rows.append(("time per epoch", f"about {_time(figures.seconds_per_epoch)} ({figures.how})"))
        rows.append(("whole training", f"about {_time(figures.seconds_in_all or 0)}"))
    return rows


def report_failures(failures: list[dict[str, Any]]) -> None:
    """Name the cases that could not be used."""
    for failure in failures[:SHOWN]:
        console.note(f"{failure['id']}: {failure['reason']}")
    if len(failures) > SHOWN:
        console.note(f"... and {len(failures) - SHOWN} more")


def _show(folder: Path, *, as_json: bool) -> None:
    from segttt.config.plan import Plan

    plan = Plan.load(folder / "plan.json")
    if as_json:
        console.emit_json(plan.model_dump(mode="json"))
    else:
        console.facts(f"Plan {plan.name}", plan_rows(plan))


def _memory(size: int | None) -> str:
    return "not known for this network" if size is None else f"about {size / 2**30:.1f} GiB"


def _time(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"
