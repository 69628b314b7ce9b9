"""The page in a headless Chromium without network: drawn, used by keyboard, accessible, names as text.

The accessibility check takes axe-core's script from the file that `STEPLADDER_AXE` names (`npm pack axe-core`
gives one, package/axe.min.js), and is skipped without it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scaling_report.analysis import analyse
from scaling_report.page import render_page
from scaling_report.settings import ReportSettings
from scaling_report.story import tell
from scaling_report.svg import draw, vega_script
from tests.scaling_report import synthetic
from tests.scaling_report.browser import CHROMIUM, Browser
from tests.scaling_report.sample_run import sample_run

AXE = os.environ.get("STEPLADDER_AXE", "")
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium to open the page with"),
]


def _write(path: Path, laws: dict[str, Any], run: dict[str, Any]) -> Path:
    story = tell(laws, run)
    stills = {figure.id: draw(figure.spec) for figure in story.figures}
    path.write_text(render_page(story, stills, vega_script()), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def laws() -> dict[str, Any]:
    return analyse(synthetic.ladder(), ReportSettings(bootstrap=100))


@pytest.fixture(scope="module")
def page(laws: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write(tmp_path_factory.mktemp("page") / "index.html", laws, sample_run())


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def test_every_visible_chart_is_drawn_and_nothing_is_asked_of_the_network(browser, page):
    browser.open(page)
    visible = browser.evaluate("[...document.querySelectorAll('.chart')].filter((c) => c.clientWidth).length")
    assert browser.evaluate("document.querySelectorAll('.chart.drawn .live svg').length") == visible > 5
    assert not browser.told("Runtime.exceptionThrown")
    asked = [event["request"]["url"] for event in browser.told("Network.requestWillBeSent")]
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


def test_no_width_makes_the_page_scroll_sideways(browser, page):
    for width in (390, 1280):
        browser.open(page, width=width)
        assert browser.evaluate("document.documentElement.scrollWidth") <= width


def test_a_charts_controls_work_by_keyboard(browser, page):
    browser.open(page)
    band = "getComputedStyle(document.querySelector('.hero .live .mark-area path')).fillOpacity"
    shown = "getComputedStyle(document.querySelector('.hero .live .mark-area path')).opacity"
    assert browser.evaluate(f"Number({band}) * Number({shown})") > 0
    labels = "[...document.querySelectorAll('.hero .live .role-axis-label text')].map((t) => t.textContent)"
    linear = browser.evaluate(labels)
    browser.evaluate("document.querySelector('.hero .tabs input').focus()")
    browser.press("Tab")
    assert browser.evaluate("document.activeElement.dataset.drives") == "bands"
    assert browser.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.press(" ")
    browser.wait(f"Number({band}) * Number({shown}) === 0")
    browser.press("Tab")
    assert browser.evaluate("document.activeElement.parentElement.textContent.trim()") == "logarithmic y"
    place = "document.querySelector('.hero .live .mark-symbol path').getAttribute('transform')"
    before = browser.evaluate(place)
    browser.press(" ")
    browser.wait(f"{place} !== {json.dumps(before)}")
    assert browser.evaluate(f"Number({band}) * Number({shown})") == 0  # what was switched off stays so
    browser.press(" ")
    browser.wait(f"{place} === {json.dumps(before)}")
    assert browser.evaluate(labels) == linear


def test_arrow_keys_choose_the_tab_and_draw_its_chart(browser, page):
    browser.open(page)
    browser.evaluate("document.querySelector('.hero .tabs input').focus()")
    browser.press("ArrowRight")
    browser.wait("document.querySelectorAll('.hero figure')[1].querySelector('.chart.drawn') !== null")
    assert browser.evaluate("document.querySelectorAll('.hero figure')[0].offsetHeight") == 0


def test_a_rungs_learning_curve_can_be_switched_off(browser, page):
    browser.open(page)
    lines = "[...document.querySelectorAll('.chart')].at(-1).querySelectorAll('.live .mark-line path').length"
    all_lines = browser.evaluate(lines)
    browser.evaluate("document.querySelector('.controls input[data-drives=hidden]').focus()")
    browser.press(" ")
    browser.wait(f"{lines} === {all_lines - 1}")


def test_without_javascript_the_stills_stand_and_the_controls_are_hidden(browser, page, tmp_path):
    still = tmp_path / "still.html"  # the policy of this copy lets no script of the page run
    still.write_text(re.sub("script-src [^;]*;", "script-src 'none';", page.read_text()), encoding="utf-8")
    browser.open(still, charts=False)
    visible = (
        "[...document.querySelectorAll('{}')].filter((e) => e.getBoundingClientRect().height > 50).length"
    )
    assert browser.evaluate(visible.format(".still svg")) > 5
    assert browser.evaluate(visible.format(".controls")) == 0
    assert browser.evaluate("document.querySelectorAll('.drawn').length") == 0


def test_names_and_texts_with_markup_are_shown_and_never_run(browser, laws, tmp_path):
    marked = json.loads(json.dumps(laws))
    for series in marked["series"]:
        series["title"] += HOSTILE
        series["task"] += HOSTILE
        for point in series["points"]:
            point["rung"] += HOSTILE
    run = sample_run()
    run["run"] += HOSTILE
    for sample in run["samples"]:
        sample["outputs"][0]["text"] += HOSTILE
    browser.events.clear()
    browser.open(_write(tmp_path / "index.html", marked, run))
    for selector in ("title", ".kicker", "th a", "tbody th", ".outputs p", ".group h2"):
        texts = browser.evaluate(
            f"[...document.querySelectorAll({json.dumps(selector)})].map((e) => e.textContent)"
        )
        assert any(HOSTILE in text for text in texts), selector
    assert not browser.told("Page.javascriptDialogOpening")
    assert browser.evaluate("document.querySelectorAll('img').length") == 0


@pytest.mark.skipif(not Path(AXE).is_file(), reason="STEPLADDER_AXE names no axe.min.js to check with")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_serious(browser, page, width, dark):
    browser.open(page, width=width, dark=dark)
    browser.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true; 0")
    browser.evaluate(Path(AXE).read_text(encoding="utf-8") + "; 0")
    found = browser.evaluate(
        "axe.run(document, { resultTypes: ['violations'] }).then((report) => report.violations"
        ".map((one) => [one.impact, one.id, one.nodes[0].html.slice(0, 200)]))"
    )
    assert [one for one in found if one[0] in ("serious", "critical")] == []


def test_print_keeps_charts_whole_and_opens_folded_tables(browser, page):
    browser.open(page)
    browser.call("Emulation.setEmulatedMedia", media="print")
    shown = (
        "[...document.querySelectorAll('.still svg')].every((svg) => svg.getBoundingClientRect().height > 50)"
    )
    assert browser.evaluate(shown)
    assert browser.evaluate("[...document.querySelectorAll('.controls')].every((c) => !c.offsetHeight)")
    fold = "[...document.querySelectorAll('details:not([open]) table')][0].offsetHeight"
    assert browser.evaluate(fold) > 0
    browser.call("Emulation.setEmulatedMedia", media="")
