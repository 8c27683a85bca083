"""A comparison as one HTML file: no script, nothing loaded, light and dark."""

from collections.abc import Sequence
from html import escape

from segttt.report.comparison import Document
from segttt.report.comparison_columns import Interval, Sheet
from segttt.report.style import BLUE

STYLE = f"""
:root {{ color-scheme: light dark; --ink: light-dark(#22303c, #dfe5ea);
  --paper: light-dark(#ffffff, #161c22); --line: light-dark(#dfe5ea, #34414d);
  --soft: light-dark(#5b6b79, #9aa8b4); --mark: light-dark({BLUE}, #6db5de); }}
body {{ font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 76rem; margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere; }}
h1 {{ font-size: 1.5rem; }} h2 {{ font-size: 1.15rem; margin-top: 2.2rem; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; overflow-wrap: normal; }}
th, td {{ padding: .3rem .7rem; text-align: right; white-space: nowrap; }}
th:first-child, td:first-child {{ text-align: left; padding-left: 0; }}
thead th, tbody th {{ border-bottom: 1px solid var(--line); font-weight: 600; }}
tbody th {{ padding-top: 1rem; color: var(--soft); font-weight: 400; font-style: italic; }}
tbody:not(:first-of-type) {{ color: var(--soft); }}
p, li {{ max-width: 48rem; }} p.below {{ color: var(--soft); font-size: .9rem; }}
svg {{ vertical-align: middle; stroke: var(--mark); fill: var(--mark); }}
svg .zero {{ stroke: var(--line); }}
"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
HALF = 60  # pixels from zero to the end of the drawn intervals


def html(document: Document) -> str:
    """The page; every name is text, whatever it holds."""
    remarks = ["<h2>On the published figures</h2>", _list(document.remarks)]
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(document.title)}</title><style>{STYLE}</style></head><body>",
            f"<h1>{escape(document.title)}</h1>",
            _list(document.said),
            *map(_sheet, document.sheets),
            *(remarks if document.remarks else []),
            "</body></html>\n",
        ]
    )


def _list(sentences: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(one)}</li>' for one in sentences)}</ul>"


def _sheet(sheet: Sheet) -> str:
    drawn = iter(_bars(sheet.intervals))
    header = [*sheet.header, *(["95 % CI around 0"] if sheet.intervals else [])]
    parts = [f'<h2>{escape(sheet.title)}</h2><div class="wide"><table><thead><tr>']
    parts += [f'<th scope="col">{escape(one)}</th>' for one in header]
    parts.append("</tr></thead>")
    for group in sheet.groups:
        parts.append("<tbody>")
        if group.title:
            title = escape(group.title)
            parts.append(f'<tr><th colspan="{len(header)}" scope="rowgroup">{title}</th></tr>')
        for row in group.rows:
            cells = "".join(f"<td>{escape(cell)}</td>" for cell in row)
            parts.append(f"<tr>{cells}{next(drawn, '')}</tr>")
        parts.append("</tbody>")
    said = f'<p class="below">{escape(" ".join(sheet.said))}</p>' if sheet.said else ""
    return "".join([*parts, "</table></div>", said])


def _bars(intervals: Sequence[Interval]) -> list[str]:
    """A cell for each interval, all drawn at one scale with 0 in the middle."""
    reach = max((abs(end) for one in intervals for end in (one[0], one[2])), default=0) or 1
    cells = []
    for one in intervals:
        low, mean, high = (HALF + 4 + value / reach * HALF for value in one)
        cells.append(
            f'<td><svg width="{2 * HALF + 8}" height="14" role="img" aria-label="interval">'
            f'<path class="zero" d="M{HALF + 4} 0V14"/><path d="M{low:.1f} 7H{high:.1f}"/>'
            f'<circle cx="{mean:.1f}" cy="7" r="3"/></svg></td>'
        )
    return cells
