"""Reports in a real browser, opened as files."""

from io import BytesIO

import numpy as np
from matplotlib.image import imread

from tests.browser import specimen

TOO_WIDE = (
    "[...document.querySelectorAll('main :is(section, svg, canvas, button, select, p)')]"
    ".filter(e => !e.closest('.wide, pre') && e.getBoundingClientRect().right > innerWidth + 1)"
    ".map(e => e.outerHTML.slice(0, 80))"
)


def pixels(png):
    return imread(BytesIO(png))[..., :3]


def settled(browser):
    """Two frames later, when what was asked for has been drawn."""
    browser.evaluate("new Promise(go => requestAnimationFrame(() => requestAnimationFrame(go)))")


def set_to(browser, selector, value, event="input"):
    kind = "checked" if isinstance(value, bool) else "value"
    shown = str(value).lower() if isinstance(value, bool) else repr(str(value))
    browser.evaluate(
        f"(e => {{ e.{kind} = {shown}; e.dispatchEvent(new Event('{event}', {{bubbles: true}})) }})"
        f"(document.querySelector({selector!r}))"
    )
    settled(browser)


def column(browser, number):
    """Texts of one column of the table of cases; 0 is the name."""
    return browser.evaluate(
        f"[...document.querySelectorAll('#table tbody tr')].map(r => r.cells[{number}].textContent)"
    )


def sort_by(browser, number):
    browser.evaluate(f"document.querySelectorAll('#table thead button')[{number}].click()")


def canvas(browser):
    """The viewer's pixels, as the screen shows them."""
    browser.evaluate("document.querySelector('#viewer').scrollIntoView({behavior: 'instant'})")
    settled(browser)
    box = browser.evaluate(
        "(b => [b.x, b.y, b.right, b.bottom].map(Math.round))"
        "(document.querySelector('#viewer-canvas').getBoundingClientRect())"
    )
    left, top, right, bottom = box
    return pixels(browser.screenshot())[top:bottom, left:right]


def opened(browser, page):
    browser.resize(1000, 700)
    browser.prefer("light")
    browser.open(page)


def viewing(browser, page):
    opened(browser, page)
    browser.wait("document.querySelector('#viewer-canvas').dataset.ready")


def test_it_opens_from_a_file_without_complaint_or_request(browser, any_report):
    opened(browser, any_report)
    browser.wait("document.querySelector('#gallery, #viewer-canvas:not([data-ready=\"\"])')")
    assert browser.complaints() == []
    assert browser.requests() == []
    assert browser.evaluate("document.querySelector('h1').textContent").endswith(specimen.HOSTILE)
    assert browser.evaluate("document.querySelectorAll('#table tbody tr').length") == 8


def test_it_fits_the_window_and_follows_the_colour_scheme(browser, any_report):
    opened(browser, any_report)
    for width in (1280, 400):
        browser.resize(width)
        for scheme, dark in (("light", False), ("dark", True)):
            browser.prefer(scheme)
            settled(browser)
            assert browser.evaluate("document.documentElement.scrollWidth") <= width
            assert browser.evaluate(TOO_WIDE) == []
            paper = pixels(browser.screenshot())[-3:, :3].mean()
            assert paper < 0.15 if dark else paper > 0.95


def test_hostile_names_are_text(browser, any_report):
    opened(browser, any_report)
    assert specimen.HOSTILE in column(browser, 0)
    assert browser.evaluate("document.querySelectorAll('img, b b, td b, th b').length") == 0
    heads = browser.evaluate("[...document.querySelectorAll('#table th')].map(e => e.textContent)")
    assert heads[:4] == ["Case", "Mean", *specimen.NAMES.values()]


def test_the_table_sorts_and_filters(browser, any_report):
    opened(browser, any_report)
    means = [float(text) for text in column(browser, 1)]
    assert means == sorted(means)
    assert means[0] < means[-1]
    sort_by(browser, 1)
    assert [float(text) for text in column(browser, 1)] == sorted(means, reverse=True)
    state = "document.querySelectorAll('#table th')[1].getAttribute('aria-sort')"
    assert browser.evaluate(state) == "descending"
    sort_by(browser, 0)
    assert column(browser, 0) == sorted(column(browser, 0), key=str.lower)
    set_to(browser, "#table-name", "CASE_3")
    assert column(browser, 0) == ["case_3"]
    set_to(browser, "#table-name", "")
    set_to(browser, "#table-below", str(means[2]))
    assert len(column(browser, 0)) == 2
    assert browser.evaluate("document.querySelector('#table-count').textContent") == "2 of 8 cases"
    set_to(browser, "#table-metric", "1", "change")
    assert len(column(browser, 0)) == 8


def test_the_viewer_shows_truth_and_prediction(browser, volumes):
    viewing(browser, volumes)
    both = canvas(browser)
    set_to(browser, "#viewer-truth", False)
    area = canvas(browser)
    set_to(browser, "#viewer-prediction", False)
    plain = canvas(browser)
    assert np.ptp(plain, axis=-1).max() < 0.12  # grey, but for the tinted backdrop
    coloured = np.ptp(area, axis=-1) > 0.12
    line = np.abs(both - area).max(-1) > 0.1
    assert 0.01 < coloured.mean() < 0.5
    assert 0.0005 < line.mean() < coloured.mean() / 4
    set_to(browser, "#viewer-opacity", "100")
    set_to(browser, "#viewer-prediction", True)
    assert np.ptp(canvas(browser), axis=-1).max() > np.ptp(area, axis=-1).max() + 0.1


def test_the_viewer_goes_through_the_slices(browser, volumes):
    viewing(browser, volumes)
    text = "document.querySelector('#viewer-slice-text').textContent"
    first, shown = browser.evaluate(text), canvas(browser)
    at, of = map(int, first.split(" of "))
    assert 4 <= at <= 8  # where most of the truth is
    assert of == 14
    browser.evaluate("document.querySelector('#viewer-canvas').focus()")
    browser.press("ArrowUp", 38)
    assert browser.evaluate(text) == f"{at + 1} of {of}"
    set_to(browser, "#viewer-slice", "13")
    assert browser.evaluate(text) == f"13 of {of}"
    assert (np.abs(canvas(browser) - shown).max(-1) > 0.1).mean() > 0.02
    set_to(browser, "#viewer-plane", "sagittal", "change")
    assert browser.evaluate(text).endswith("of 30")
    set_to(browser, "#viewer-plane", "all", "change")
    assert browser.complaints() == []


def test_a_case_of_the_table_opens_in_the_viewer(browser, volumes):
    viewing(browser, volumes)
    browser.evaluate("document.querySelectorAll('#table .open')[2].click()")
    browser.wait("document.querySelector('#viewer-canvas').dataset.ready === '2'")
    name = browser.evaluate("document.querySelectorAll('#table .open')[2].textContent")
    chosen = "document.querySelector('#viewer-case').selectedOptions[0].textContent"
    assert browser.evaluate(chosen).startswith(name)
    assert browser.evaluate("document.activeElement.id") == "viewer-canvas"


def test_pictures_open_large_and_go_on_with_the_keys(browser, pictures):
    opened(browser, pictures)
    order = "[...document.querySelectorAll('#gallery .id')].map(e => e.textContent)"
    worst = browser.evaluate(order)
    set_to(browser, "#gallery-order", "best", "change")
    assert browser.evaluate(order) == worst[::-1]
    browser.evaluate("document.querySelector('#gallery .open').click()")
    title = "document.querySelector('#large-title').textContent"
    assert browser.evaluate("document.querySelector('#large').open")
    assert browser.evaluate(title) == worst[-1]
    browser.press("ArrowRight", 39)
    assert browser.evaluate(title) == worst[-2]
    settled(browser)
    outlined = pixels(browser.screenshot())
    set_to(browser, "#large [data-toggle=truth]", False, "change")
    set_to(browser, "#large [data-toggle=prediction]", False, "change")
    bare = pixels(browser.screenshot())
    assert (np.abs(outlined - bare).max(-1) > 0.2).sum() > 200
    browser.press("Escape", 27)
    assert not browser.evaluate("document.querySelector('#large').open")
    assert browser.complaints() == []
