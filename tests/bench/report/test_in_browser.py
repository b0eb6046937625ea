"""Pages as someone meets them: by keyboard, on a phone, in the dark. Skipped where there is no Chromium."""

import pytest
from synthetic_rows import study

from bench.report.board import page
from bench.report.run_page import render
from bench.report.tables import tables
from benchmarks.browser import CHROMIUM, Browser

ROWS = study()
PHONE = (390, 844)


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("needs Chromium")
    with Browser() as one:
        yield one


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    (folder / "board.html").write_text(page(tables(ROWS)), encoding="utf-8")
    (folder / "run.html").write_text(render(ROWS[0], ROWS), encoding="utf-8")
    return folder


SORTED = "[...document.querySelectorAll('[aria-sort]')].map((th) => [th.dataset.sort, th.getAttribute('aria-sort')])"
FOCUS = """(() => { const one = document.activeElement; return {
  heading: one.closest('th')?.dataset.sort ?? null, outline: getComputedStyle(one).outlineStyle }; })()"""


def test_headings_are_reached_and_sort_by_keyboard(browser, pages):
    browser.open(pages / "board.html")
    assert browser.evaluate(SORTED) == [["score-0", "descending"]]  # the best first
    outlines = []
    for _ in range(40):
        browser.press("Tab")
        focus = browser.evaluate(FOCUS)
        outlines.append(focus["outline"])
        if focus["heading"] == "cost-1":
            break
    else:
        pytest.fail("no heading was reached")
    assert set(outlines) == {"solid"}  # whatever has the focus shows it
    browser.press("Enter")
    assert browser.evaluate(SORTED) == [["cost-1", "descending"]]
    browser.press(" ")
    assert browser.evaluate(SORTED) == [["cost-1", "ascending"]]
    assert browser.evaluate(FOCUS)["heading"] == "cost-1"


@pytest.mark.parametrize("name", ["board.html", "run.html"])
def test_nothing_is_wider_than_a_phone_and_the_dark_is_dark(browser, pages, name):
    background = "getComputedStyle(document.body).backgroundColor"
    seen = []
    for is_dark in (False, True):
        browser.open(pages / name, *PHONE, is_dark=is_dark)
        assert browser.evaluate("document.documentElement.scrollWidth") == PHONE[0]
        seen.append(sum(map(int, browser.evaluate(f"{background}.match(/\\d+/g)"))) / 3)
    assert seen[0] > 200
    assert seen[1] < 60
