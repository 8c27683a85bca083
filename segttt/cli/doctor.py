"""segttt doctor"""

import typer

from segttt.cli import console, options

MARKS = {"ok": "ok", "note": "note", "fault": "FAULT"}


def doctor(as_json: options.AsJson = False) -> None:
    """Say what this machine offers, what is missing and what to do about it.

    Example: `segttt doctor`
    """
    from segttt.commands.doctor import examine

    findings = examine()
    if as_json:
        console.emit_json([finding.__dict__ for finding in findings])
    else:
        rows = [[one.subject, MARKS[one.state], one.text] for one in findings]
        console.facts("", [(f"{mark:6}{subject}", text) for subject, mark, text in rows])
    if any(finding.state == "fault" for finding in findings):
        raise typer.Exit(6)
