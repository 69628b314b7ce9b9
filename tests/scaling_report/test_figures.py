"""Charts: what is drawn is what laws.json says, and figure files stand alone."""

from __future__ import annotations

import copy
import json
import math
import re
from functools import cache
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from scaling_report.analysis import analyse
from scaling_report.axes import log_ticks
from scaling_report.figures import CURVE_POINTS, chosen_fit, learning_curves, metric_chart
from scaling_report.laws import LAWS
from scaling_report.palette import PALETTE, RUNG_COLOURS, light, rung_colours, stylesheet
from scaling_report.residuals import residual_chart
from scaling_report.settings import ReportSettings
from scaling_report.svg import draw, rasterise
from tests.scaling_report import synthetic
from tests.scaling_report.sample_run import sample_run

SVG = "{http://www.w3.org/2000/svg}"


@cache
def _analysed() -> str:
    return json.dumps(analyse(synthetic.ladder(), ReportSettings(bootstrap=100)))


@pytest.fixture
def series() -> dict[str, dict[str, Any]]:
    return {one["metric"]: one for one in json.loads(_analysed())["series"]}


def _rows(spec: dict[str, Any], mark: str, **wanted: Any) -> list[dict[str, Any]]:
    """The data of every layer with this mark and these properties of it."""
    return [
        row
        for layer in spec["layer"]
        if layer["mark"]["type"] == mark
        and all(layer["mark"].get(key) == value for key, value in wanted.items())
        for row in spec["datasets"][layer["data"]["name"]]
    ]


def _texts(svg: str) -> list[str]:
    return ["".join(text.itertext()) for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_every_run_is_a_point_where_it_was_measured(series):
    one = series["bits_per_byte"]
    spec = metric_chart(one, "flops")
    drawn = {(row["rung"], row["seed"], row["x"], row["y"]) for row in _rows(spec, "point")}
    assert drawn == {
        (point["rung"], str(point["seed"]), point["x"]["flops"], point["value"]) for point in one["points"]
    }


def test_hidden_rung_is_predicted_open_with_its_interval_beside_the_filled_truth(series):
    one = series["bits_per_byte"]
    spec = metric_chart(one, "non_embedding")
    (prediction,) = _rows(spec, "point", fill=light("paper"))
    (truth,) = _rows(spec, "point", shape="diamond")
    assert prediction["y"] == one["forecast"]["predicted"]
    assert [prediction["low"], prediction["high"]] == one["forecast"]["interval"]
    assert (truth["rung"], truth["y"]) == ("r7-1m", one["forecast"]["actual"])
    assert prediction["x"] == truth["x"]


def test_a_chart_against_another_axis_than_the_forecasts_shows_no_prediction(series):
    assert not _rows(metric_chart(series["bits_per_byte"], "flops"), "point", fill=light("paper"))


def test_bands_differ_and_the_curve_is_dashed_where_it_saw_no_run(series):
    one = series["bits_per_byte"]
    spec = metric_chart(one, "non_embedding")
    opacities = [
        layer["mark"]["opacity"]["expr"] for layer in spec["layer"] if layer["mark"]["type"] == "area"
    ]
    assert len(set(opacities)) == 2
    largest_seen = max(p["x"]["non_embedding"] for p in one["points"] if not p["held_out"])
    dashed = _rows(spec, "line", strokeDash=[5, 4])
    assert dashed
    assert min(row["x"] for row in dashed) >= largest_seen
    assert {row["y"] for row in _rows(spec, "line")} <= set(chosen_fit(one, "non_embedding")["grid"]["fit"])


def test_without_a_trend_there_are_points_and_a_baseline_and_no_curve(series):
    spec = metric_chart(series["bleu"], "non_embedding")
    marks = {layer["mark"]["type"] for layer in spec["layer"]}
    assert marks == {"rule", "text", "point"}
    assert "best-constant 1.90" in _texts(draw(spec))


def test_wild_bands_do_not_squeeze_the_points(series):
    one = copy.deepcopy(series["accuracy"])
    chosen_fit(one, "non_embedding")["grid"]["prediction"][-1] = [-1e6, 1e6]
    low, high = metric_chart(one, "non_embedding")["encoding"]["y"]["scale"]["domain"]
    assert low > -1
    assert high < 2
    assert all(
        low <= row["low"] <= row["high"] <= high for row in _rows(metric_chart(one, "non_embedding"), "area")
    )


def test_one_point_without_error_bar_is_a_chart(series):
    one = {**series["bleu"], "points": [{**series["bleu"]["points"][0], "stderr": None}], "baselines": []}
    spec = metric_chart(one, "non_embedding")
    assert [layer["mark"]["type"] for layer in spec["layer"]] == ["point"]
    assert "<svg" in draw(spec)


def test_svg_is_lean_selectable_text_and_keeps_its_promises(series):
    svg = draw(metric_chart(series["bits_per_byte"], "non_embedding"))
    assert len(svg) < 25_000
    texts = _texts(svg)
    assert {"Non-embedding parameters", "20k", "1M", "Bits per byte · lower is better ↓"} <= set(texts)
    # several stand in one page: no ids that could meet, no links, only colours that the page can darken
    assert not re.search(r"""\bid=|url\(|href=["']""", svg)
    assert set(re.findall(r"#[0-9a-f]{6}\b", svg)) <= {on_light for on_light, _ in PALETTE.values()}


def test_names_from_outside_stay_text_in_a_figure(series):
    hostile = "<script>alert(1)</script>"
    one = json.loads(json.dumps(series["accuracy"]).replace("r7-1m", hostile))
    one["baselines"][0]["name"] = "</text><image href='x'/>"
    svg = draw(metric_chart(one, "non_embedding"))
    tags = {element.tag for element in ElementTree.fromstring(svg).iter()}
    assert tags.isdisjoint({f"{SVG}script", f"{SVG}image"})
    assert any(hostile in text for text in _texts(svg))


def test_flops_are_labelled_as_powers_of_ten(series):
    assert {"5·10¹¹", "10¹²", "5·10¹²"} <= set(_texts(draw(metric_chart(series["bits_per_byte"], "flops"))))


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (9e3, 1.2e5, [1e4, 2e4, 5e4, 1e5]),
        (1, 1e5, [1, 10, 100, 1e3, 1e4, 1e5]),
        (1.1e6, 1.9e6, []),
    ],
)
def test_log_ticks_are_round_numbers_inside_the_domain(low, high, ticks):
    assert log_ticks(low, high) == pytest.approx(ticks)


def test_learning_curves_are_thinned_but_keep_their_ends():
    curves = sample_run()["curves"]
    spec = learning_curves(curves)
    for curve in curves:
        drawn = [row for row in spec["datasets"][spec["data"]["name"]] if row["rung"] == curve["rung"]]
        assert len(drawn) <= CURVE_POINTS < len(curve["points"])
        assert [drawn[-1]["x"], drawn[-1]["y"]] == curve["points"][-1]
    assert set(_texts(draw(spec))) >= {curve["rung"] for curve in curves}


def test_a_learning_curve_of_one_point_or_with_gaps_can_be_drawn():
    curves = [
        {"rung": "a", "seed": 0, "points": [[4096, 7.1]]},
        {"rung": "b", "seed": 0, "points": [[4096, None]]},
    ]
    assert "<svg" in draw(learning_curves(curves))


def test_rung_colours_run_over_the_whole_ramp_and_repeat_beyond_it():
    assert rung_colours(1) == [RUNG_COLOURS[0]]
    assert rung_colours(7)[0] == RUNG_COLOURS[0]
    assert rung_colours(7)[-1] == RUNG_COLOURS[-1]
    assert len(rung_colours(30)) == 30


def test_text_colours_can_be_read_on_their_paper():
    """WCAG 2 asks a contrast of 4.5 for text and 3 for graphics (success criteria 1.4.3 and 1.4.11)."""
    for scheme in (0, 1):
        paper = _luminance(PALETTE["paper"][scheme])
        for role, wanted in (("ink", 7), ("muted", 4.5), ("measured", 4.5), ("predicted", 4.5)):
            colour = _luminance(PALETTE[role][scheme])
            contrast = (max(colour, paper) + 0.05) / (min(colour, paper) + 0.05)
            assert contrast >= wanted, (role, scheme)


def test_stylesheet_maps_each_light_colour_to_one_role():
    lights = [on_light for on_light, _ in PALETTE.values()]
    assert len(set(lights)) == len(lights)
    for role, (on_light, on_dark) in PALETTE.items():
        assert f'[fill="{on_light}"]{{fill:var(--{role})}}' in stylesheet()
        assert f"--{role}:{on_dark};" in stylesheet()


def _luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb`, as WCAG 2 defines it."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_residuals_are_the_logarithms_that_the_law_leaves_and_the_hidden_rung_is_marked(series):
    one = series["bits_per_byte"]
    fit = chosen_fit(one, "non_embedding")
    spec = residual_chart(one, fit)
    rows = _rows(spec, "point")
    curve = dict(zip(fit["grid"]["x"], fit["grid"]["fit"], strict=True))
    first = min(rows, key=lambda row: row["x"])
    point = next(p for p in one["points"] if (p["rung"], str(p["seed"])) == (first["rung"], first["seed"]))
    assert first["y"] == pytest.approx(math.log(point["value"] / curve[min(curve)]), abs=1e-5)
    assert [row["rung"] for row in _rows(spec, "point", shape="diamond")] == ["r7-1m"]
    assert len(rows) == len(one["points"])
    assert "<svg" in draw(spec)


def test_residuals_of_a_metric_with_a_ceiling_are_of_the_distance_to_it(series):
    one = series["accuracy"]
    fit = chosen_fit(one, "non_embedding")
    size, value = one["points"][0]["x"]["non_embedding"], one["points"][0]["value"]
    fitted = LAWS[fit["law"]].curve(np.array([size]), **fit["parameters"])[0]
    assert fit["residuals"][0] == pytest.approx(math.log((1 - value) / fitted))


def test_a_png_is_the_svg_at_twice_its_size(series):
    svg = draw(metric_chart(series["bleu"], "non_embedding"))
    width, height = map(float, re.search(r'width="([\d.]+)" height="([\d.]+)"', svg).groups())
    png = rasterise({"bleu": svg})["bleu"]
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    found = [int.from_bytes(png[at : at + 4], "big") for at in (16, 20)]
    assert found == pytest.approx([2 * width, 2 * height], abs=2)
