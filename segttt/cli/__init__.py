"""The words of the user: one thin file per command (typer, rich)."""
