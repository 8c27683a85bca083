"""Markdown that says what it was told and nothing else."""

import re

from segttt.report.comparison import document
from segttt.report.comparison_markdown import escaped, markdown
from tests.report.compared import HOSTILE, PUBLISHED, compared


def cells(line):
    return re.split(r"(?<!\\)\|", line)[1:-1]


def test_tables_have_as_many_cells_in_every_row():
    text = markdown(document(compared(published=PUBLISHED)))
    tables = re.findall(r"(?:^\|.*\|$\n?)+", text, re.MULTILINE)
    assert len(tables) == 5
    for table in tables:
        lines = table.splitlines()
        assert {len(cells(line)) for line in lines} == {len(cells(lines[0]))}
        assert set(lines[1]) == set("| -:")


def test_names_are_no_markup():
    text = markdown(document(compared(published=PUBLISHED)))
    assert "<" not in text
    assert "&lt;script" in text
    assert escaped("a_b*c|d\ne") == r"a\_b\*c\|d e"
    assert escaped(HOSTILE) in text
    assert not re.search(r"(?<!\\)`", text)


def test_sections_and_sentences():
    lines = markdown(document(compared(("a", "b"), published=PUBLISHED))).splitlines()
    assert lines[0] == "# Comparison of a, b"
    assert "- 12 common cases, protocol strict." in lines
    assert "## Results" in lines
    assert "| *Published: Paper A, Table 3* |  |  |  |  |  |  |" in lines
    assert lines[-1] == "- A &lt;note\\> on a\\_b."
