"""The page and its Markdown: what a reader sees first, nothing from outside runs, nothing is fetched."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from functools import cache
from html.parser import HTMLParser
from typing import Any

import pytest

from scaling_report.analysis import analyse
from scaling_report.markdown import escape, fence, render_markdown
from scaling_report.notation import duration, moment, short, significant, with_error
from scaling_report.page import inline_json, keep_whole, render_page
from scaling_report.palette import HEAT, PALETTE
from scaling_report.parts import Story
from scaling_report.provenance import cost_facts
from scaling_report.settings import ReportSettings
from scaling_report.story import tell
from scaling_report.svg import draw, vega_script
from tests.scaling_report import synthetic
from tests.scaling_report.sample_run import sample_run

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


class Seen(HTMLParser):
    """Every element with its attributes, every script's content, and all text outside of scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text = ""
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)
        elif self._inside != "style":
            self.text += data

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""


@cache
def _laws() -> str:
    return json.dumps(analyse(synthetic.ladder(), ReportSettings(bootstrap=100)))


def _few() -> dict[str, Any]:
    """The laws of a language modelling, a generation and a classification metric, each against one axis."""
    laws = json.loads(_laws())
    laws["settings"]["x"] = ["non_embedding"]
    laws["series"] = [one for one in laws["series"] if one["metric"] in ("bits_per_byte", "bleu", "accuracy")]
    return laws


@cache
def _vega() -> str:
    return vega_script()


def _page(story: Story) -> str:
    return render_page(story, {figure.id: draw(figure.spec) for figure in story.figures}, _vega())


@pytest.fixture(scope="module")
def story() -> Story:
    return tell(json.loads(_laws()), sample_run())


@pytest.fixture(scope="module")
def html(story: Story) -> str:
    return _page(story)


@pytest.fixture(scope="module")
def seen(html: str) -> Seen:
    return Seen(html)


def _hostile(value: Any, names: tuple[str, ...]) -> Any:
    """`value` with the hostile text behind every string that stands under one of these keys."""
    if isinstance(value, dict):
        return {
            key: part + HOSTILE if key in names and isinstance(part, str) else _hostile(part, names)
            for key, part in value.items()
        }
    return [_hostile(part, names) for part in value] if isinstance(value, list) else value


def test_the_verdict_stands_before_the_first_chart(story, html):
    at = [html.index(text) for text in ("<h1>", 'class="lede"', 'class="chart"')]
    assert at == sorted(at)
    headline = re.sub("<[^>]+>", "", html[html.index("<h1>") : html.index("</h1>")])
    assert headline == story.headline == json.loads(_laws())["verdict"][0]


def test_the_hero_is_bits_per_byte_and_every_other_series_follows_once(story, seen):
    ids = [series["id"] for series in json.loads(_laws())["series"]]
    assert story.hero is not None
    assert story.hero.title == "Bits per byte, test"
    of_metrics = [one.id for one in story.sections if not one.id.startswith("loss-to-")]
    assert sorted([story.hero.id, *of_metrics]) == sorted(ids)
    against_loss = [one.title for one in story.sections if one.id.startswith("loss-to-")]
    assert against_loss == ["code-to-docstring, test", "module-classification, test"]
    anchors = [attributes["id"] for _, attributes in seen.elements if attributes.get("id")]
    assert len(anchors) == len(set(anchors))
    links = [attributes["href"] for tag, attributes in seen.elements if tag == "a"]
    assert links == [f"#{series_id}" for series_id in ids]
    assert {link[1:] for link in links} <= set(anchors)


def test_every_figure_has_a_still_picture_and_its_live_chart(story, seen, html):
    charts = [json.loads(text) for a, text in seen.scripts if a.get("type") == "application/json"]
    assert charts == [figure.spec for figure in story.figures]
    assert html.count('<div class="still" aria-hidden="true"><svg') == len(story.figures) == 25


def test_every_table_row_is_as_long_as_its_head(html):
    tables = re.findall(r"<table>(.*?)</table>", html, re.DOTALL)
    assert len(tables) > 20
    for table in tables:
        widths = {len(re.findall(r"<t[hd]\b", row)) for row in table.split("<tr")[1:]}
        assert len(widths) == 1, table


def test_the_page_asks_the_network_for_nothing(html, seen):
    for tag, attributes in seen.elements:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base", "form")
        for name in ("src", "srcset", "data", "action", "poster"):
            assert name not in attributes
        for name in ("href", "xlink:href"):
            assert attributes.get(name, "#").startswith("#")
    style = html[html.index("<style>") : html.index("</style>")]
    assert not re.search(r"url\(|@import|https?:", style)


def test_the_policy_lets_only_the_pages_own_two_scripts_run(seen):
    (policy,) = [a["content"] for _, a in seen.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == rules["connect-src"] == "'none'"
    (packed,) = [text for attributes, text in seen.scripts if attributes.get("id") == "vega"]
    (script,) = [text for attributes, text in seen.scripts if not attributes]
    code = [gzip.decompress(base64.b64decode(packed)).decode(), script]
    assert code[0] == _vega()
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in code]
    assert rules["script-src"] == " ".join(f"'sha256-{digest}'" for digest in hashes)


def test_the_page_is_small_enough_to_mail(html):
    assert len(html.encode()) <= 2_000_000


def test_whatever_comes_from_outside_is_shown_as_text(seen):
    laws = _hostile(_few(), ("rung", "title", "name", "signature", "sentence", "id", "reason", "formula"))
    run = _hostile(
        sample_run(), ("rung", "text", "prompt", "reference", "reason", "recipe_yaml", "cpu", "stage")
    )
    story = tell(laws, run)
    hostile = Seen(_page(story))
    assert {tag for tag, _ in hostile.elements} <= {tag for tag, _ in seen.elements}
    assert [a for a, _ in hostile.scripts if a.get("type") != "application/json"] == [
        {"type": "application/gzip", "id": "vega"},
        {},
    ]
    assert not any(name.startswith("on") for _, attributes in hostile.elements for name in attributes)
    assert hostile.text.count(HOSTILE) > 100
    for figure in story.figures:
        assert re.fullmatch(r"[a-z0-9-]+", figure.id)


def test_a_bare_table_has_a_report_without_empty_parts():
    html = _page(tell(_few(), None))
    for title in (
        "Every rung",
        "Learning curves",
        "What the rungs wrote",
        "How this was made",
        "Not everything",
    ):
        assert title not in html
    assert "Every metric at a glance" in html


def test_a_run_in_which_nothing_was_measured_says_so_and_why():
    run = {**sample_run(), "curves": [], "samples": []}
    laws = {**_few(), "series": [], "verdict": []}
    seen = Seen(_page(tell(laws, run)))
    assert "No rung has been measured yet." in seen.text
    assert "the loss was NaN at step 211; lower training.learning_rate" in seen.text


def test_failed_stages_are_told_before_the_results(html):
    assert html.index("Not everything was finished") < html.index('class="chart"')
    assert "pretrain-r5-241k-s1" in html


def test_lede_says_what_the_downstream_tasks_come_to(story):
    told = " ".join(story.lede)
    assert "BLEU shows no trend" in told
    assert re.search(r"no rung in [^;.]*BLEU", told)
    assert "accuracy" in told


def test_what_test_rows_share_with_training_is_told(story):
    assert "overlap with train 3 of 1,821 (such as r7: so it goes)" in render_markdown(story)


def test_samples_mark_the_outputs_that_are_the_reference(story):
    (sample,) = [one for one in story.samples if one.task == "module-classification"]
    assert sample.outputs == (("r1-13k", "asyncio", False), ("r7-1m", "email", True))


def test_markdown_links_every_figure_and_keeps_its_tables_in_shape(story):
    text = render_markdown(story)
    assert re.findall(r"!\[[^\]]*\]\(figures/([a-z0-9-]+)\.svg\)", text) == [one.id for one in story.figures]
    tables = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    assert len(tables) > 20
    for table in tables:
        widths = {len(re.findall(r"(?<!\\)\|", row)) for row in table.strip().split("\n")}
        assert len(widths) == 1, table
    assert text.startswith(f"# {story.headline}\n")
    assert "\n\n\n" not in text


def test_markdown_shows_whatever_comes_from_outside_as_text():
    nasty = "a|b <img src=x> [l](javascript:x) `c` *d* \n# e"
    assert escape(nasty) == r"a\|b \<img src=x\> \[l\](javascript:x) \`c\` \*d\* # e"
    laws = _hostile(_few(), ("rung", "name", "sentence", "signature"))
    text = render_markdown(tell(laws, _hostile(sample_run(), ("text", "reference", "recipe_yaml"))))
    outside = re.sub(r"^(`{3,})\n.*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert "alert(1)" in outside
    assert not re.search(r"(?<!\\)<", outside)


def test_numbers_and_names_are_not_broken_over_lines():
    assert str(keep_whole("at r1-13k: 5 % & p < 0.1")) == (
        'at <span class="whole">r1-13k:</span> 5\u00a0% &amp; p\u00a0&lt;\u00a00.1'
    )


def test_a_fence_is_longer_than_the_backticks_inside():
    assert fence("x = '````'").startswith("`````\n")
    assert fence("x").startswith("```\n")


def test_inline_json_cannot_end_its_script_and_reads_back():
    value = {"a": "</script><!--<script>&\u2028"}
    text = str(inline_json(value))
    assert not re.search("[<>&\u2028]", text)
    assert json.loads(text) == value


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        (significant(1.8743), "1.874"),
        (significant(12345.6), "12,346"),
        (significant(-0.5), "−0.5000"),
        (significant(1.2e-7), "1.20 × 10⁻⁷"),
        (significant(None), "–"),
        (with_error(0.41234, 0.0123), "0.412 ± 0.012"),
        (with_error(1234.5, 77.1), "1,234 ± 77"),
        (with_error(2.5, None), "2.500"),
        (short(999_950), "1M"),
        (short(12_704), "12.7k"),
        (duration(59.7), "1 min 00 s"),
        (duration(3_599.8), "1 h 00 min"),
        (duration(None), "–"),
        (moment("2026-01-31T12:04:11+00:00"), "31 January 2026, 12:04 UTC"),
        (moment("yesterday"), "yesterday"),
    ],
)
def test_numbers_are_written_as_people_write_them(written, wanted):
    assert written == wanted


def test_every_chart_can_be_made_again_from_the_reports_own_files(story, tmp_path, monkeypatch):
    report = tmp_path / "report"
    report.mkdir()
    (report / "laws.json").write_text(_laws(), encoding="utf-8")
    (tmp_path / "run.json").write_text(json.dumps(sample_run()), encoding="utf-8")
    monkeypatch.chdir(report)
    for figure in story.figures[:3] + story.figures[-3:]:  # two axes, residuals; loss, learning curves
        made: dict[str, Any] = {}
        exec(figure.again, made)
        assert made["chart"] == figure.spec, figure.id


def test_energy_and_cost_are_told_where_the_recipe_says_what_an_hour_takes():
    run = {"stages": [{"seconds": 1800.0}, {"seconds": 5400.0}, {"seconds": None}]}
    told = {"watts": 65.0, "price_per_hour": 0.4, "currency": "EUR"}
    assert cost_facts(run, told) == (
        ("0.13 kWh", "estimated from 65 W declared, over 2 h 00 min, all stages added up"),
        ("0.80 EUR", "at 0.4 an hour over 2 h 00 min"),
    )
    nothing = {"watts": None, "price_per_hour": None}
    assert cost_facts(run, nothing) == ()
    rungs = [{"status": "done", "stage": "pretrain", "energy_joules": 1.8e6, "energy_source": "nvml"}] * 2
    measured = ("1.0 kWh", "measured (nvml), pretraining alone")
    assert cost_facts(run | {"rungs": rungs}, nothing) == (measured,)
    assert cost_facts(run | {"rungs": [*rungs, rungs[0] | {"energy_joules": None}]}, nothing) == ()


def test_a_passage_is_shown_whole_under_every_rung_with_the_nats_of_its_tokens(story):
    passage = {
        "id": "a.py",
        "rungs": [
            {"rung": "13k", "text": "def f(" + HOSTILE, "starts": [0, 3, 5], "nats": [0.2, 3.0, 9.25]},
            {"rung": "1m", "text": "def f(" + HOSTILE, "starts": [0, 3, 5], "nats": [0.1, 1.5, 4.0]},
        ],
    }
    told = tell(_few(), {**sample_run(), "passage": passage})
    assert told.passage is not None
    assert [piece.level for piece in told.passage.strips[0].pieces] == [0, 3, 5]
    html = _page(told)
    assert Seen(html).text.count("(" + HOSTILE) == 3  # two strips and the table
    assert 'title="9.25 nats"' in html
    assert told.passage.table is not None
    assert told.passage.table.rows[0] == ("def", "0.20", "0.10")
    assert "A passage" not in _page(tell(_few(), sample_run()))


def test_text_on_every_heat_can_be_read_in_both_schemes():
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    for scheme in range(2):
        ink = luminance(PALETTE["ink"][scheme])
        for level in range(6):
            light, dark = sorted((ink, luminance(HEAT[f"heat-{level}"][scheme])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5  # WCAG 2.2, 1.4.3


def test_a_long_list_of_what_was_left_out_is_counted_by_reason():
    left_out = [{"what": f"part {i}", "reason": "a part"} for i in range(1000)]
    told = tell({**_few(), "left_out": left_out}, None)
    assert told.left_out is not None
    assert told.left_out.rows[-1] == ("and 940 more", "a part")
    assert len(told.left_out.rows) == 61
