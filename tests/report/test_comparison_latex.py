"""LaTeX that compiles: balanced, escaped, with as many columns as it declares."""

import re

import pytest

from segttt.report.comparison import document
from segttt.report.comparison_latex import ROWS_PER_PAGE, escaped, latex
from tests.report.compared import HOSTILE, PUBLISHED, compared

COMMANDS = {
    *("begin", "end", "centering", "footnotesize", "setlength", "tabcolsep", "caption", "toprule"),
    *("midrule", "bottomrule", "multicolumn", "emph", "pm", "textless", "textgreater", "textbar"),
    *("textbackslash", "textasciitilde", "textasciicircum", "textquotedbl", "ldots"),
}


def body(text):
    """What LaTeX reads: the lines that are no comments."""
    return "\n".join(line for line in text.splitlines() if not line.startswith("%"))


@pytest.mark.parametrize("names", [("a", "b"), ("ours", HOSTILE)])
def test_it_is_balanced_and_uses_known_commands_only(names):
    text = body(latex(document(compared(names, published=PUBLISHED))))
    bare = re.sub(r"\\[\\&%$#_{}]", "", text)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert set(re.findall(r"\\([a-zA-Z]+)", bare)) <= COMMANDS
    assert not re.search(r"[%#^~_<>|\"]", bare)
    opened = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", bare):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert opened == []
    assert text.isascii()


def test_every_row_has_the_declared_columns():
    text = body(latex(document(compared(published=PUBLISHED))))
    tables = re.findall(r"\\begin\{tabular\}\{(l r*|lr*)\}(.*?)\\end\{tabular\}", text, re.DOTALL)
    assert len(tables) == 5
    for columns, rows in tables:
        for line in rows.strip().splitlines():
            if not line.endswith(r" \\"):
                assert line in (r"\toprule", r"\midrule", r"\bottomrule")
            elif line.startswith(r"\multicolumn"):
                assert line.startswith(rf"\multicolumn{{{len(columns)}}}")
            else:
                assert len(re.findall(r"(?<!\\)&", line)) == len(columns) - 1


def test_escapes():
    assert escaped("a_b & 50%") == r"a\_b \& 50\%"
    assert escaped("0.9 ± 0.1") == r"0.9 $\pm$ 0.1"
    assert escaped("-0.01 to +0.02, case-03, a – b") == r"$-$0.01 to +0.02, case-03, a -- b"
    assert escaped("\\end{document}") == r"\textbackslash{}end\{document\}"


def test_hostile_names_stay_on_their_line():
    text = latex(document(compared(("a", "b\n\\input{/etc/passwd}"), published=PUBLISHED)))
    assert r"\input" not in body(text)
    assert r"\textbackslash{}input" in body(text)


def test_long_tables_are_cut_into_pages():
    names = tuple(f"m{i}" for i in range(8))  # 28 pairs of 2 labels
    text = body(latex(document(compared(names, n=6))))
    assert "of every label (1 of 2)" in text
    longest = max(part.count(r" \\") for part in text.split(r"\end{table}"))
    assert longest == ROWS_PER_PAGE + 1
