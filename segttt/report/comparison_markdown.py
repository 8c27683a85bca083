"""A comparison in Markdown."""

import re
from collections.abc import Iterable, Sequence

from segttt.report.comparison import Document
from segttt.report.comparison_columns import Sheet


def markdown(document: Document) -> str:
    """Headings, sentences and tables; names are shown as they are, never read as markup."""
    parts = [f"# {escaped(document.title)}", _list(document.said)]
    parts += [_sheet(sheet) for sheet in document.sheets]
    if document.remarks:
        parts += ["## On the published figures", _list(document.remarks)]
    return "\n\n".join(part for part in parts if part) + "\n"


def escaped(text: str) -> str:
    """Text without any meaning in Markdown or HTML, on one line."""
    plain = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_{}\[\]|#~>])", r"\\\1", plain)


def _list(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {escaped(one)}" for one in sentences)


def _sheet(sheet: Sheet) -> str:
    lines = [_row(map(escaped, sheet.header)), _row(["---", *["---:"] * (len(sheet.header) - 1)])]
    for group in sheet.groups:
        if group.title:
            lines.append(_row([f"*{escaped(group.title)}*", *[""] * (len(sheet.header) - 1)]))
        lines += [_row(map(escaped, row)) for row in group.rows]
    said = " ".join(map(escaped, sheet.said))
    parts = [f"## {escaped(sheet.title)}", "\n".join(lines), said]
    return "\n\n".join(part for part in parts if part)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
