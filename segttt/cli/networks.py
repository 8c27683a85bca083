"""segttt networks"""

import typer

from segttt.cli import console, options

networks_app = typer.Typer(help="The networks that can be trained.", no_args_is_help=True)


@networks_app.command("list")
def list_networks(as_json: options.AsJson = False) -> None:
    """List the networks by name.

    Example: `segttt networks list`
    """
    from segttt.networks.table import names, spec

    rows = [
        [
            name,
            one.mixer,
            str(one.mixer_stages) if one.mixer != "none" else "-",
            one.encoder,
            one.upsampling,
        ]
        for name, one in ((name, spec(name)) for name in names())
    ]
    header = ["name", "mixer", "where", "encoder", "upsampling"]
    if as_json:
        console.emit_json([dict(zip(header, row, strict=True)) for row in rows])
    else:
        console.table("Networks", header, rows)
