"""segttt train"""

from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from segttt.cli import console, options
from segttt.cli.plan import plan_rows, report_failures
from segttt.errors import UsageError

if TYPE_CHECKING:
    from segttt.commands.plan import Planned
    from segttt.commands.train import Trained


def train(
    workspace: options.WorkspaceFolder = None,
    data: options.Data = None,
    preset: options.Preset = None,
    network: options.Network = None,
    cases: options.Cases = None,
    splits: options.Splits = None,
    instances: options.Instances = False,
    planner: options.Planner = "v2.1",
    recipe: options.Recipe = None,
    dims: options.Dims = None,
    fold: Annotated[
        str, typer.Option("--fold", help="Fold to hold out, or all: train on all.")
    ] = "0",
    folds: Annotated[
        str | None, typer.Option("--folds", help="Train several folds in turn: all, or 0,2,4.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Short for --set train.epochs=N.")
    ] = None,
    iters: Annotated[
        int | None, typer.Option(min=1, help="Steps per epoch, --set train.iterations=N.")
    ] = None,
    time_limit: Annotated[
        str | None,
        typer.Option(help="Train this long (20m, 1h30m); the learning rate decays to fit."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of weights, patches, augmentation.")] = 0,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Refuse operators that are not reproducible.")
    ] = False,
    resume: Annotated[
        str, typer.Option(help="auto: go on where it stopped; must: or fail; never: start anew.")
    ] = "auto",
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the run. [default: the network]")
    ] = None,
    validate: Annotated[bool, typer.Option(help="Score whole held-out volumes at the end.")] = True,
    assignments: options.Settings = None,
    device: options.Device = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads. [default: cores]")
    ] = None,
    workers: options.Workers = None,
    dry_run: options.DryRun = False,
    as_json: options.AsJson = False,
) -> None:
    """Train a network; plans and preprocesses first where that is missing.

    Examples:

    `segttt train --preset flare22 --data data/FLARE22`

    `segttt train -w runs/x --network ttt-unet-enc --fold 0 --epochs 20 --iters 100`

    `segttt train -w runs/x --preset laptop --data data/Task04 --fold all --time-limit 10m`

    `segttt train -w runs/x --set network.mixer=none`

    `segttt train -w runs/x --network swinunetr --recipe nnunet`
    """
    from segttt.cluster.cores import usable_cores
    from segttt.commands.plan import Request, existing_or_new
    from segttt.commands.preprocess import preprocess
    from segttt.commands.train import Options
    from segttt.commands.train import train as run
    from segttt.io.workspace import Workspace

    if resume not in ("auto", "must", "never"):
        raise UsageError(f"--resume {resume}: use auto, must or never.")
    limit = options.seconds(time_limit)
    folder = options.workspace_folder(workspace, preset, data)
    changed = options.settings(assignments, train__epochs=epochs, train__iterations=iters)
    watch = console.LiveWatch()
    count = workers or usable_cores()
    request = Request(
        Workspace(folder), data, preset, network, changed, cases, instances,
        cast("Literal['v2.1', 'v2.8']", planner), count, options.recipe_name(recipe),
        options.rank(dims), splits,
    )  # fmt: skip
    planned = existing_or_new(request, watch, write=not dry_run)
    wanted = _folds(fold, folds, planned.dataset)
    label = name or run_label(planned.plan.network.name, options.settings(assignments))
    if dry_run:
        _dry_run(planned, wanted, f"{label} in {folder}", as_json=as_json)
        return
    prepared = preprocess(planned.dataset, planned.plan, request.workspace, watch, workers=count)
    failures = [failure.__dict__ for failure in (*planned.failures, *prepared.failures)]
    usable = planned.dataset.without({failure.id for failure in prepared.failures})
    results = []
    for one in wanted:
        chosen = Options(
            one, seed, label, device, threads, deterministic, limit,
            cast("Literal['auto', 'must', 'never']", resume), validate,
        )  # fmt: skip
        results.append(run(usable, planned.plan, request.workspace, chosen, watch))
        failures += [failure.__dict__ for failure in results[-1].failures]
        if not as_json:
            _report(one, results[-1])
    if as_json:
        console.emit_json({"runs": [_as_dict(result) for result in results], "failures": failures})
    report_failures(failures)
    console.next_command(f"segttt predict SCANS --model {results[-1].folder.parent.parent}")
    if failures:
        raise typer.Exit(4)


def _dry_run(
    planned: "Planned", wanted: list[int | Literal["all"]], what: str, *, as_json: bool
) -> None:
    """Say what would be trained on what."""
    from segttt.commands.train import split

    splits = {str(one): split(planned.dataset, one) for one in wanted}
    if as_json:
        plan = planned.plan.model_dump(mode="json")
        console.emit_json({"run": what, "folds": splits, "plan": plan})
        return
    console.facts(f"Would train {what}", plan_rows(planned.plan))
    for one, (ours, theirs) in splits.items():
        console.say(f"  fold {one}: {len(ours)} cases to train, {len(theirs)} to validate")


def run_label(network: str, settings: dict[str, Any]) -> str:
    """Name of a run: the network, and what --set changed of it."""
    whole = settings.get("network", {})
    changes = whole if isinstance(whole, dict) else {}
    changes = changes | {
        name.removeprefix("network."): value
        for name, value in settings.items()
        if name.startswith("network.")
    }
    return "+".join(
        [network, *sorted(f"{name}={_short(value)}" for name, value in changes.items())]
    )


def _short(value: Any) -> str:
    """A value as one writes it in YAML, without spaces."""
    if isinstance(value, list):
        return f"[{','.join(map(_short, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _folds(fold: str, folds: str | None, dataset: Any) -> list[int | Literal["all"]]:
    from segttt.planning.folds import kfold

    if folds is None:
        return ["all" if fold == "all" else _number(fold)]
    if folds == "all":
        ids = [case.id for case in dataset.cases]
        return list(range(len(kfold(ids, given=dataset.folds))))
    return [_number(one) for one in folds.split(",")]


def _number(text: str) -> int:
    if not text.strip().isdigit():
        raise UsageError(f"--fold {text}: use a number from 0, or all.")
    return int(text)


def _report(fold: int | str, result: "Trained") -> None:
    dice = f", pseudo-Dice {result.pseudo_dice:.3f}" if result.pseudo_dice is not None else ""
    loss = f", loss {result.loss:+.3f}" if result.loss is not None else ""
    console.say(
        f"fold {fold}: {result.epochs} epochs in {result.seconds:.0f} s{loss}{dice}\n"
        f"  {result.folder / 'model.safetensors'}"
    )
    if result.validation:
        from segttt.report.tables import label_table

        scores = label_table(result.validation)
        console.table(f"Validation, fold {fold}", scores.header, scores.rows)


def _as_dict(result: "Trained") -> dict[str, Any]:
    return {
        "folder": str(result.folder),
        "epochs": result.epochs,
        "seconds": result.seconds,
        "loss": result.loss,
        "pseudo_dice": result.pseudo_dice,
        "validation": result.validation.model_dump(mode="json") if result.validation else None,
    }
