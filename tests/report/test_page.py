"""The page as text: everything escaped, nothing fetched, the same every time."""

import hashlib
import json
import re
from base64 import b64encode
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from importlib.resources import files

import numpy as np
import pytest

from segttt.metrics.overlap import score_case
from segttt.metrics.summary import summarise
from segttt.report.page import Page, View, policy, render
from segttt.report.page_plots import curves, distribution
from segttt.report.page_views import display_of, pack, sections
from tests.browser import specimen

EVIL = "</script><script>alert(1)</script><img src=x onerror='alert(2)'>\"&\u2028"


def views() -> list[View]:
    image, truth, found = specimen.anatomy(1)
    true, other = (np.where(one == 4, 2, one).astype(np.int16) for one in (truth, found))
    shown = display_of(image[None], true, other, (2.0, 1.0, 1.0))
    return [View(EVIL, 0.5, sections(shown, {1: EVIL, 2: "back"}), pack(shown), "coarse")]


@pytest.fixture(scope="module")
def page() -> Page:
    names = {1: EVIL, 4: "back"}
    scored = [score_case(f"{EVIL}{i}", *specimen.anatomy(i)[1:], [1, 4]) for i in range(7)]
    plot = distribution("dice", "Dice", {EVIL: {EVIL: 0.5}}, share=True)
    assert plot is not None
    return Page(
        title=EVIL,
        flat=False,
        ranked_by="mean Dice",
        summary=summarise(scored, names),
        failures=[(EVIL, EVIL)],
        names={1: EVIL, 2: "back"},
        distributions=[plot],
        tables=[{"key": "dice", "name": EVIL, "digits": 3, "columns": [EVIL], "rows": [[0.5]]}],
        cases=[EVIL],
        views=views(),
        worst=[0],
        best=[],
        curves=[(EVIL, curves([{"epoch": 0, "train_loss": 1.0}], []))],
        plan=specimen.plan(3, name=EVIL),
        card=None,
        version="0.1.0",
    )


@pytest.fixture(scope="module")
def html(page) -> str:
    return render(page)


class Reader(HTMLParser):
    """All tags, and the text of scripts and styles."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict]] = []
        self.raw: list[tuple[str, dict, str]] = []
        self._open: tuple[str, dict] | None = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._open = (tag, dict(attrs)) if tag in ("script", "style") else None
        if self._open:
            self.raw.append((*self._open, ""))

    def handle_data(self, data):
        if self._open:
            tag, attributes, text = self.raw.pop()
            self.raw.append((tag, attributes, text + data))

    def handle_endtag(self, tag):
        self._open = None


def test_hostile_names_are_text_everywhere(html):
    tags = Reader(html).tags
    assert not [tag for tag, _ in tags if tag in ("img", "iframe", "object", "link", "base")]
    assert not [a for _, attributes in tags for a in attributes if a.startswith("on")]
    assert not [a for _, attributes in tags for a in attributes if a == "style"]
    assert html.count("</script>") == sum(tag == "script" for tag, _ in tags)
    assert "alert(1)</script>" not in html


def test_payloads_hold_the_names_as_they_are(html):
    payloads = {a["id"]: text for tag, a, text in Reader(html).raw if tag == "script" and "id" in a}
    assert json.loads(payloads["scores"])["cases"] == [EVIL]
    assert json.loads(payloads["viewer-facts"])["labels"][0]["name"] == EVIL
    assert re.fullmatch(r"[A-Za-z0-9+/=]+", payloads["image-0"])


def test_the_policy_runs_these_scripts_and_no_others(html):
    found = Reader(html)
    content = next(a["content"] for tag, a in found.tags if "http-equiv" in a)
    assert content.startswith("default-src 'none'; ")
    assert "unsafe" not in content
    assert "http" not in content
    for tag, attributes, text in found.raw:
        if attributes.get("type", "").startswith(("application/json", "text/plain")):
            continue
        digest = b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in content, f"{tag} {text[:60]}"
    assert policy(["a"], "b") != policy(["a "], "b")


def test_nothing_is_fetched(html):
    for _, attributes in Reader(html).tags:
        for name in ("src", "href", "action", "srcset", "data"):
            assert not attributes.get(name) or attributes[name].startswith(("#", "data:image/"))


def test_equal_content_gives_an_equal_page(page, html):
    assert render(page) == html


def test_what_is_not_known_is_left_out(page):
    bare = render(replace(page, views=(), worst=(), plan=None, curves=(), failures=()))
    assert not {"viewer", "examples", "plan", "curves", "card"} & set(
        re.findall(r'id="(\w+)"', bare)
    )
    assert 'id="cases"' in bare


def test_pictures_need_no_viewer(page, html):
    flat = render(replace(page, flat=True, views=[replace(page.views[0], packed=None)]))
    assert len(flat) < 200_000 < len(html)
    assert "NiiVue" not in flat
    assert "Gallery" in flat


def test_the_summary_is_on_the_page(page, html):
    text = unescape(html)
    assert f"<b>{page.summary.mean_dice:.3f}</b>" in text
    low, high = page.summary.ci95
    assert f"{low:.3f}–{high:.3f}</span>" in text
    assert "SD over labels" in text


def test_the_viewer_is_the_pinned_one():
    folder = files("segttt.report").joinpath("vendor/niivue")
    digest, name = folder.joinpath("SHA256SUMS").read_text().split()
    assert hashlib.sha256(folder.joinpath(name).read_bytes()).hexdigest() == digest
    assert "BSD 2-Clause" in folder.joinpath("LICENSE").read_text()
    assert "gl-matrix" in folder.joinpath("LICENSE.bundled").read_text()
