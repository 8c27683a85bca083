"""A comparison in LaTeX: tables for a paper, with booktabs."""

import re
from collections.abc import Iterator

from segttt.report.comparison import Document
from segttt.report.comparison_columns import Group, Sheet

ROWS_PER_PAGE = 40
SPECIAL = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        **{char: f"\\{char}" for char in "&%$#_{}"},
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': r"\textquotedbl{}",
        "–": "--",
        "±": r"$\pm$",
        "…": r"\ldots{}",
        "²": r"\textsuperscript{2}",
    }
)


def latex(document: Document) -> str:
    """One `table` per sheet, for `\\input`; what was said beside them are comments."""
    said = [document.title, *document.said, *document.remarks]
    head = "\n".join(f"% {' '.join(one.split())}" for one in said)
    needs = "% \\usepackage{booktabs,textcomp}  \\usepackage[T1]{fontenc}"
    tables = (_table(page) for sheet in document.sheets for page in _pages(sheet))
    return "\n\n".join([f"{head}\n{needs}", *tables]) + "\n"


def escaped(text: str) -> str:
    """Text without any meaning in LaTeX, on one line; signs of numbers are set as such."""
    plain = " ".join(text.split()).translate(SPECIAL)
    return re.sub(r"(?<![\w}.-])-(?=\d)", "$-$", plain)


def _pages(sheet: Sheet) -> Iterator[Sheet]:
    """The sheet, or parts of it that fit a page each."""
    if len(sheet.groups) > 1 or len(sheet.groups[0].rows) <= ROWS_PER_PAGE:
        yield sheet
        return
    rows = sheet.groups[0].rows
    starts = range(0, len(rows), ROWS_PER_PAGE)
    for number, start in enumerate(starts, 1):
        title = f"{sheet.title} ({number} of {len(starts)})"
        part = Group("", rows[start : start + ROWS_PER_PAGE])
        yield Sheet(title, sheet.header, [part], sheet.said)


def _table(sheet: Sheet) -> str:
    width = len(sheet.header)
    lines = [
        r"\begin{table}[htbp]",
        r"\centering",
        r"\footnotesize",
        r"\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{escaped(' '.join([f'{sheet.title}.', *sheet.said]))}}}",
        rf"\begin{{tabular}}{{l{'r' * (width - 1)}}}",
        r"\toprule",
        _row(sheet.header),
        r"\midrule",
    ]
    for group in sheet.groups:
        if group.title:
            title = rf"\multicolumn{{{width}}}{{l}}{{\emph{{{escaped(group.title)}}}}} \\"
            lines += [r"\midrule", title]
        lines += [_row(row) for row in group.rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"])


def _row(cells: list[str]) -> str:
    return " & ".join(map(escaped, cells)) + r" \\"
