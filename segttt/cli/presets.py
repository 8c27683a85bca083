"""segttt presets"""

from typing import Annotated

import typer

from segttt.cli import console, options

presets_app = typer.Typer(help="What papers and experience fix of a plan.", no_args_is_help=True)


@presets_app.command("list")
def list_presets(as_json: options.AsJson = False) -> None:
    """List the presets.

    Example: `segttt presets list`
    """
    from segttt.config.preset import load, names

    presets = [load(name) for name in names()]
    if as_json:
        console.emit_json([{"name": one.name, "title": one.title} for one in presets])
        return
    rows = [
        [
            one.name,
            f"{one.rank}D" if one.rank else "2D, 3D",
            " x ".join(map(str, one.topology.patch)) if one.topology else "planned",
            str(one.batch or "planned"),
            one.title,
        ]
        for one in presets
    ]
    console.table("Presets", ["name", "rank", "patch", "batch", "for"], rows, prose="for")


@presets_app.command("show")
def show_preset(
    name: Annotated[str, typer.Argument(help="Name, or a YAML file of your own.")],
    as_json: options.AsJson = False,
) -> None:
    """Print one preset: geometry, network, training, evaluation, the papers' figures.

    Example: `segttt presets show flare22`
    """
    from segttt.config.preset import load
    from segttt.report.preset_text import rows

    preset = load(name)
    if as_json:
        console.emit_json(preset.model_dump(mode="json"))
        return
    for title, lines in rows(preset):
        console.facts(title, lines)
        console.say()
