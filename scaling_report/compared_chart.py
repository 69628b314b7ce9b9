"""Several series of laws.json on the same axes, published ladders hollow among them, as Vega-Lite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from scaling_report.axes import log_axis, metric_axis
from scaling_report.figures import chosen_fit
from scaling_report.marks import Row, Spec, data_layer, finish
from scaling_report.notation import axis_value, significant, with_error
from scaling_report.palette import light
from scaling_report.wording import AXIS_NAMES

COLOURS = ("measured", "predicted", "third", "fourth", "fifth", "sixth")
SHAPES = ("circle", "diamond", "square", "triangle-up", "cross", "triangle-down")
OVERLAY_SHAPES = ("square", "triangle-up", "diamond", "circle")
Series = Mapping[str, Any]


def compared_chart(
    named: Sequence[tuple[str, Series]], overlays: Sequence[Mapping[str, Any]], axis: str, description: str
) -> Spec:
    """Points, chosen laws and their confidence bands of each (name, series); each its colour and its shape.

    Beyond six series colours and shapes come again, and the legend's names tell which is meant.
    """
    rows = [row for name, one in named for row in _points(name, one, axis)]
    published = [row for overlay in overlays for row in _published(overlay, axis)]
    curves = [(name, fit) for name, one in named if (fit := chosen_fit(one, axis))]
    x_domain, y_domain = _x_domain([*rows, *published], curves), _y_domain([*rows, *published], curves)
    layers = [
        *(_band(name, fit, named, y_domain) for name, fit in curves),
        *(_line(name, fit, named, y_domain) for name, fit in curves),
        *_overlay_layers(overlays, axis, rises=named[0][1]["higher_is_better"]),
        *_measured(rows, [name for name, _ in named]),
    ]
    x = alt.X("x:Q", scale=alt.Scale(type="log", domain=x_domain, nice=False), axis=log_axis(axis, x_domain))
    y = alt.Y("y:Q", scale=alt.Scale(domain=y_domain, nice=False, zero=False), axis=metric_axis(named[0][1]))
    return finish(alt.layer(*layers).encode(x=x, y=y), description)


def _points(name: str, series: Series, axis: str) -> list[Row]:
    return [
        {
            "x": point["x"][axis],
            "y": point["value"],
            "low": point["value"] - (point["stderr"] or 0.0),
            "high": point["value"] + (point["stderr"] or 0.0),
            "series": name,
            "rung": point["rung"],
            "at": f"{axis_value(axis, point['x'][axis])} {AXIS_NAMES[axis]}",
            "value": with_error(point["value"], point["stderr"]),
        }
        for point in series["points"]
        if point["x"].get(axis)
    ]


def _published(overlay: Mapping[str, Any], axis: str) -> list[Row]:
    return [
        {
            "x": point["x"][axis],
            "y": point["value"],
            "low": point["value"],
            "high": point["value"],
            "series": overlay["title"],
            "rung": point["name"],
            "at": f"{axis_value(axis, point['x'][axis])} {AXIS_NAMES[axis]}",
            "value": significant(point["value"]),
        }
        for point in overlay["points"]
        if point["x"].get(axis)
    ]


def _measured(rows: list[Row], names: Sequence[str]) -> list[alt.Chart]:
    colours = [light(COLOURS[i % len(COLOURS)]) for i in range(len(names))]
    shapes = [SHAPES[i % len(SHAPES)] for i in range(len(names))]
    legend = alt.Legend(orient="bottom", title=None, columns=2, labelLimit=330)
    colour = alt.Color(
        "series:N", sort=None, scale=alt.Scale(domain=list(names), range=colours), legend=legend
    )
    shape = alt.Shape("series:N", sort=None, scale=alt.Scale(domain=list(names), range=shapes), legend=legend)
    bars = data_layer([row for row in rows if row["low"] < row["high"]]).mark_rule(strokeWidth=1.4)
    marks = data_layer(rows).mark_point(filled=True, opacity=1, size=70)
    return [
        bars.encode(x=alt.X("x:Q"), y=alt.Y("low:Q"), y2=alt.Y2("high:Q"), color=colour),
        marks.encode(color=colour, shape=shape, tooltip=tooltip()),
    ]


def _overlay_layers(overlays: Sequence[Mapping[str, Any]], axis: str, *, rises: bool) -> list[alt.Chart]:
    """Hollow marks joined by the published figures' own law, named above their upper end."""
    layers = []
    for place, overlay in enumerate(overlays):
        rows = _published(overlay, axis)
        fit = overlay["fit"]
        if fit and fit["x"] == axis:
            grid = [{"x": x, "y": y} for x, y in zip(fit["grid"]["x"], fit["grid"]["fit"], strict=True)]
            layers.append(
                data_layer(grid).mark_line(color=light("muted"), strokeWidth=1.2, strokeDash=[1, 3])
            )
        shape = OVERLAY_SHAPES[place % len(OVERLAY_SHAPES)]
        marks = data_layer(rows).mark_point(
            filled=False, shape=shape, size=64, stroke=light("muted"), strokeWidth=1.6, opacity=1
        )
        label = data_layer(rows[-1:] if rises else rows[:1]).mark_text(
            align="right" if rises else "left", dy=-12, color=light("muted")
        )
        layers += [marks.encode(tooltip=tooltip()), label.encode(text=alt.Text("series:N"))]
    return layers


def _band(
    name: str, fit: Mapping[str, Any], named: Sequence[tuple[str, Series]], y_domain: Sequence[float]
) -> alt.Chart:
    low, high = y_domain
    rows = [
        {"x": x, "low": min(max(band[0], low), high), "high": min(max(band[1], low), high)}
        for x, band in zip(fit["grid"]["x"], fit["grid"]["confidence"], strict=True)
    ]
    band = data_layer(rows).mark_area(color=_colour(name, named), opacity=0.16)
    return band.encode(x=alt.X("x:Q"), y=alt.Y("low:Q"), y2=alt.Y2("high:Q"))


def _line(
    name: str, fit: Mapping[str, Any], named: Sequence[tuple[str, Series]], y_domain: Sequence[float]
) -> alt.Chart:
    low, high = y_domain
    grid = zip(fit["grid"]["x"], fit["grid"]["fit"], strict=True)
    rows = [{"x": x, "y": y} for x, y in grid if low <= y <= high]
    return data_layer(rows).mark_line(color=_colour(name, named), strokeWidth=2)


def _colour(name: str, named: Sequence[tuple[str, Series]]) -> str:
    return light(COLOURS[[other for other, _ in named].index(name) % len(COLOURS)])


def _x_domain(rows: Sequence[Row], curves: Sequence[tuple[str, Mapping[str, Any]]]) -> list[float]:
    at = [row["x"] for row in rows]
    return [min(at) / 1.3, max([max(at) * 1.3, *(x for _, fit in curves for x in fit["grid"]["x"])])]


def _y_domain(rows: Sequence[Row], curves: Sequence[tuple[str, Mapping[str, Any]]]) -> list[float]:
    values = [edge for row in rows for edge in (row["low"], row["high"])]
    values += [fit["grid"]["fit"][end] for _, fit in curves for end in (0, -1)]
    low, high = min(values), max(values)
    air = 0.07 * (high - low) or 0.05 * abs(high) or 0.5
    return [low - air, high + air]


def tooltip() -> list[alt.Tooltip]:
    return [alt.Tooltip(f"{field}:N") for field in ("series", "rung", "at", "value")]
