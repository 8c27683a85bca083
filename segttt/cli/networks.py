"""segttt networks"""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segttt.cli import console, options

if TYPE_CHECKING:
    from segttt.commands.networks import Row, Sized

networks_app = typer.Typer(help="The networks that can be trained.", no_args_is_help=True)


@networks_app.command("list")
def list_networks(preset: options.Preset = None, as_json: options.AsJson = False) -> None:
    """List the networks, with parameters and operations at a preset's window.

    Without a preset, those for volumes are sized at flare22's window, the others at amos22-mr-2d's.

    Examples:

    `segttt networks list`

    `segttt networks list --preset endovis17`
    """
    from segttt.commands.networks import table

    rows = table(preset)
    if as_json:
        console.emit_json([asdict(row) for row in rows])
        return
    header = ["name", "family", "dims", "sized for", "parameters", "GFLOPs", "needs"]
    console.table("Networks", header, [_cells(row) for row in rows], prose="needs")
    console.note("GFLOPs: one forward pass of one patch, without norms and activations.")


@networks_app.command("show")
def show_network(
    name: Annotated[str, typer.Argument(help="Name of a network.")],
    preset: options.Preset = None,
    as_json: options.AsJson = False,
) -> None:
    """Print one network at a preset's window: stages, tokens per stage, mixers, recipe.

    Example: `segttt networks show mm-unet --preset flare22`
    """
    from segttt.commands.networks import show

    sized = show(name, preset)
    if as_json:
        fields = {k: v for k, v in vars(sized).items() if k not in ("spec", "cost", "stages")}
        spec = sized.spec.model_dump(mode="json")
        stages = [asdict(one) for one in sized.stages]
        costs = asdict(sized.cost) if sized.cost else None
        console.emit_json({**fields, "network": spec, "cost": costs, "stages": stages})
        return
    console.facts(f"Network {name}", _facts(sized))
    if sized.stages:
        header = ["stage", "mixer", "grid", "features", "blocks", "tokens"]
        rows = [
            [f"{one.side} {one.stage}", one.mixer or "-", _times(one.grid), str(one.features),
             one.block, f"{one.tokens:,}"]
            for one in sized.stages
        ]  # fmt: skip
        console.table("Stages", header, rows, prose="mixer")


def _cells(row: "Row") -> list[str]:
    costs = (f"{row.cost.parameters:,}", f"{row.cost.flops / 1e9:,.0f}") if row.cost else ("-", "-")
    return [row.name, row.family, row.dims, row.preset or "-", *costs, row.needs]


def _facts(sized: "Sized") -> list[tuple[str, str]]:
    window = f"{_times(sized.patch)} voxels, multiples of {_times(sized.multiple)}"
    if sized.patch != sized.wanted_patch:
        window += f"; the preset's {_times(sized.wanted_patch)} rounded up"
    costs = [
        (
            "parameters",
            f"{sized.cost.parameters:,}"
            if sized.cost
            else "pip install 'segttt[baselines]' to count them",
        ),
        ("GFLOPs per patch", f"{sized.cost.flops / 1e9:,.1f}" if sized.cost else "-"),
    ]
    return [
        ("family", sized.family),
        ("source", sized.source),
        ("preset", sized.preset),
        ("window", window + ("; fixed by the weights" if sized.fixed_patch else "")),
        *costs,
        ("published recipe", _plain(sized.recipe) or "that of nnU-Net"),
        ("fields", _plain(sized.spec.model_dump(exclude={"kind", "name"}))),
    ]


def _plain(fields: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in fields.items())


def _times(edges: tuple[int, ...]) -> str:
    return " x ".join(map(str, edges))
