"""The options that several commands share, and how their texts are read."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from segttt.config.overrides import parse
from segttt.errors import UsageError

Data = Annotated[
    Path | None,
    typer.Option(
        "--data", help="Folder of the data in any known layout, or a manifest (CSV, JSON)."
    ),
]
WorkspaceFolder = Annotated[
    Path | None,
    typer.Option(
        "--workspace", "-w", help="Folder of this project. [default: runs/PRESET or runs/DATA]"
    ),
]
Preset = Annotated[
    str | None,
    typer.Option("--preset", "-p", help="Preset to start from; see `segttt presets list`."),
]
Network = Annotated[
    str | None, typer.Option("--network", "-n", help="Network by name, e.g. ttt-unet-enc, nnunet.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a field of the plan: --set train.lr=1e-3 (repeatable)."),
]
Cases = Annotated[
    str | None,
    typer.Option("--cases", help="Use only these ids: a text or JSON FILE, or FILE:KEY."),
]
Splits = Annotated[
    Path | None,
    typer.Option("--splits", help="Folds to use: nnU-Net's splits_final.json. [default: DATA's]"),
]
Instances = Annotated[
    bool,
    typer.Option("--instances", help="Label files number objects; learn interior and boundary."),
]
Planner = Annotated[
    str,
    typer.Option("--planner", help="Planning rules: v2.1 (the papers') or v2.8 (nnU-Net today)."),
]
Recipe = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        help="Optimiser and schedule: published (for the network), preset or nnunet. "
        "[default: published]",
    ),
]
Dims = Annotated[
    int | None, typer.Option("--dims", min=2, max=3, help="2: slices, 3: volumes. [default: auto]")
]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Cases in work at once. [default: cores]")
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 ...")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, write nothing.")]

if TYPE_CHECKING:
    from segttt.commands.plans.adapt import RecipeName

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def settings(assignments: list[str] | None, **shortcuts: Any) -> dict[str, Any]:
    """Fields to change: `--set` and the options that are short for one (`train__epochs=5`)."""
    named = {name.replace("__", "."): value for name, value in shortcuts.items()}
    given = {name: value for name, value in named.items() if value is not None}
    return {**given, **parse(assignments or [])}


def recipe_name(text: str | None) -> "RecipeName | None":
    """One of the recipes, or None."""
    if text not in (None, "published", "preset", "nnunet"):
        raise UsageError(f"--recipe {text}: use published, preset or nnunet.")
    return cast("RecipeName | None", text)


def rank(dims: int | None) -> Literal[2, 3] | None:
    """Axes of the patch, or None."""
    return cast("Literal[2, 3] | None", dims)


def seconds(text: str | None) -> float | None:
    """Seconds of `90`, `90s`, `2m`, `1h30m`; None stays None."""
    if text is None:
        return None
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise UsageError(f"--time-limit {text}: write it like 90s, 20m or 1h30m.")
    total = sum(float(number) * UNITS.get(unit, 1) for number, unit in parts)
    if total <= 0:
        raise UsageError(f"--time-limit {text}: must be longer than nothing.")
    return total


def memory(text: str | None) -> int | None:
    """Bytes of `6G`, `6.5GiB`, `900M`, binary units; None stays None."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT])(?:i?B)?", text.strip(), re.IGNORECASE)
    if not found or not float(found[1]):
        raise UsageError(f"--max-ram {text}: write it like 6G or 900M.")
    return int(float(found[1]) * 1024 ** (1 + "KMGT".index(found[2].upper())))


def workspace_folder(workspace: Path | None, preset: str | None, data: Path | None) -> Path:
    """The workspace that was named, or runs/<preset or data folder>."""
    if workspace:
        return workspace
    folder = data and (data.with_suffix("") if data.is_file() else data)
    name = Path(preset).stem if preset else folder.resolve().name if folder else None
    if not name:
        raise UsageError("Name a workspace with -w, or the data with --data.")
    return Path("runs") / name
