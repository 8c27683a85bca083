"""segttt data"""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segttt.cli import console, options
from segttt.cli.plan import report_failures

if TYPE_CHECKING:
    from segttt.commands.datasets.series import Found
    from segttt.commands.init import Listed
    from segttt.commands.split import Split

MANY = 64
"""Labels beyond which values are more likely the numbers of objects."""

Patient = Annotated[
    str | None,
    typer.Option(
        "--patient", help="Regular expression whose one group, in a path, is the patient."
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace the file where it exists.")]

data_app = typer.Typer(help="Look at data before planning.", no_args_is_help=True)


@data_app.command("check")
def check(
    data: Annotated[Path, typer.Argument(help="Folder of the data, or a manifest.", exists=True)],
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
    from segttt.commands.datasets.series import check_series
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


@data_app.command("init")
def init(
    folder: Annotated[Path, typer.Argument(help="Any folder of images and labels.", exists=True)],
    out: Annotated[Path, typer.Option("--out", "-o", help="The manifest.")] = Path("cases.json"),
    patient: Patient = None,
    instances: options.Instances = False,
    force: Force = False,
    dry_run: options.DryRun = False,
    as_json: options.AsJson = False,
) -> None:
    """Infer from names which files belong together, and write a manifest that --data reads.

    Labels are told by words such as labels, masks or _seg in the names of folders or files; several
    images of one label are its channels. Correct the manifest by hand where the names mislead.

    Examples:

    `segttt data init data/BraTS -o brats.json --patient "(BraTS_\\d+)"`

    `segttt data init data/clinic --dry-run`
    """
    from segttt.commands.init import init as run
    from segttt.commands.init import write

    listed = run(folder, out, patient=patient, instances=instances)
    if not dry_run:
        write(listed, out, force=force)
    if as_json:
        manifest = listed.manifest.model_dump(mode="json")
        left = [one.__dict__ for one in listed.left_out]
        console.emit_json({"layout": listed.layout, "manifest": manifest, "left_out": left})
        return
    console.facts(f"{folder}", _listed_rows(listed))
    report_failures([one.__dict__ for one in listed.left_out])
    if not dry_run:
        console.next_command(f"segttt data check {out}")


@data_app.command("split")
def split(
    data: Annotated[Path, typer.Argument(help="Folder of the data, or a manifest.", exists=True)],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folds, in nnU-Net's form.")] = Path(
        "splits_final.json"
    ),
    folds: Annotated[int, typer.Option("--folds", min=2, max=100, help="Number of folds.")] = 5,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed; the same one gives the same folds.")
    ] = 12345,
    by_patient: Annotated[
        bool, typer.Option("--by-patient", help="Keep cases of one patient on one side.")
    ] = False,
    patient: Patient = None,
    stratified: Annotated[
        bool, typer.Option("--stratified", help="Every fold holds each label about equally often.")
    ] = False,
    instances: options.Instances = False,
    workers: options.Workers = None,
    force: Force = False,
    dry_run: options.DryRun = False,
    as_json: options.AsJson = False,
) -> None:
    """Draw the folds of a cross-validation and write them as nnU-Net's splits_final.json.

    Without options they are nnU-Net's own. Beside the data the file is read by itself; else
    `plan --splits` and `train --splits` take it.

    Examples:

    `segttt data split cases.json --by-patient --stratified -o splits_final.json`

    `segttt data split data/Task04_Hippocampus --stratified --dry-run`
    """
    from segttt.cluster.cores import usable_cores
    from segttt.commands.split import Request, write
    from segttt.commands.split import split as run

    request = Request(
        folds, seed, by_patient, patient, stratified, instances, workers or usable_cores()
    )
    drawn = run(data, request, console.LiveWatch())
    if not dry_run:
        write(drawn, out, force=force)
    if as_json:
        console.emit_json(asdict(drawn) | {"folds": [one.model_dump() for one in drawn.folds]})
    else:
        _tell_split(drawn)
        report_failures([one.__dict__ for one in drawn.failures])
        if not dry_run:
            console.next_command(f"segttt plan {data} --splits {out}")
    if drawn.failures:
        raise typer.Exit(4)


def _listed_rows(listed: "Listed") -> list[tuple[str, str]]:
    dataset = listed.dataset
    patients = {case.patient for case in dataset.cases if case.patient}
    first = dataset.cases[0]
    truth = first.label or f"{sum(map(len, first.masks.values()))} masks"
    found = f"{listed.layout}, which --data reads as it is" if listed.layout else "told by names"
    labels = [f"{value} {name}" for value, name in dataset.labels.items()]
    rows = [
        ("layout", found),
        ("cases", str(len(dataset.cases))),
        ("channels", ", ".join(dataset.channels)),
        ("labels", "objects by number" if dataset.instances else ", ".join(labels)),
        ("patients", str(len(patients)) if patients else "one per case"),
        ("first case", f"{first.id}: {', '.join(first.images)} with {truth}"),
        ("left out", str(len(listed.left_out))),
    ]
    if "image" in dataset.channels:
        rows.append(("note", "name the channel CT in the manifest where it is CT"))
    if len(dataset.labels) > MANY and not dataset.instances:
        rows.append(("note", "add --instances if the values number objects"))
    return rows


def _tell_split(drawn: "Split") -> None:
    header = ["", *(f"Fold {number}" for number in range(len(drawn.folds)))]
    rows = [
        ["cases to train on", *(str(len(fold.train)) for fold in drawn.folds)],
        ["cases to validate on", *(str(len(fold.val)) for fold in drawn.folds)],
        *([f"  with {name}", *map(str, counts)] for name, counts in drawn.labels.items()),
        ["  mean labelled mm3", *(f"{mean:.4g}" for mean in drawn.foreground_mm3)],
    ]
    console.table(f"{drawn.cases} cases, {drawn.patients} patients", header, rows)


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
