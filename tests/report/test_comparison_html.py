"""One page of HTML that loads nothing and runs nothing."""

import re
from html import escape
from html.parser import HTMLParser

from segttt.report.comparison import document
from segttt.report.comparison_html import html
from tests.report.compared import HOSTILE, PUBLISHED, compared

VOID = {"meta", "path", "circle"}


class Page(HTMLParser):
    """Refuses unbalanced tags; keeps tags, attributes and text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in VOID
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_hostile_names_are_text():
    text = html(document(compared(published=PUBLISHED)))
    page = Page(text)
    assert "script" not in page.tags
    assert "b" not in page.tags
    assert HOSTILE in page.text
    assert escape(HOSTILE) in text


def test_nothing_is_loaded_or_run():
    page = Page(html(document(compared(published=PUBLISHED))))
    names = {name for name, _ in page.attributes}
    assert not names & {"src", "href", "srcset", "onload", "onerror", "style"}
    policy = dict(page.attributes)["content"]
    contents = [value for name, value in page.attributes if name == "content"]
    assert policy in contents
    assert "default-src 'none'; style-src 'unsafe-inline'" in contents
    assert not re.search(r"url\(|@import|https?:", html(document(compared(("a", "b")))))


def test_light_and_dark():
    text = html(document(compared(("a", "b"))))
    assert "color-scheme: light dark" in text
    assert text.count("light-dark(") >= 5


def test_every_table_is_whole_and_every_interval_is_drawn():
    text = html(document(compared(("a", "b", "c"), published=PUBLISHED)))
    rows = re.findall(r"<tr>(.*?)</tr>", text)
    for table in re.findall(r"<table>(.*?)</table>", text):
        width = table.partition("</thead>")[0].count("<th ")
        for row in re.findall(r"<tr>(.*?)</tr>", table.partition("</thead>")[2]):
            spanning = f'colspan="{width}"' in row
            assert spanning or row.count("<td>") == width
    assert sum("<svg" in row for row in rows) == 3 + 3 * 2


def test_intervals_share_one_scale():
    text = html(document(compared(("a", "b", "c"))))
    table = re.search(r"Differences in DSC</h2>(.*?)</table>", text).group(1)
    lines = [tuple(map(float, one)) for one in re.findall(r'd="M([\d.]+) 7H([\d.]+)"', table)]
    middles = [float(one) for one in re.findall(r'<path class="zero" d="M(\d+) 0', table)]
    assert set(middles) == {64.0}
    assert max(max(abs(low - 64), abs(high - 64)) for low, high in lines) == 60.0
    assert all(low < high for low, high in lines)
