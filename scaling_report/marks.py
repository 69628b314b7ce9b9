"""What the report's charts share: layers of rows, measured and hidden runs, controls, one look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from scaling_report.palette import light
from scaling_report.parts import Control

WIDTH, HEIGHT = 720, 400  # of the static figure, in pixels; on the page the width is the column's
BANDS, HIDDEN = "bands", "hidden"  # parameters of charts: whether bands show, and which rungs do not
Row = dict[str, Any]
Spec = dict[str, Any]


def recipe_of(module: str, call: str, found: str, file: str = "laws.json") -> str:
    """Python that makes a chart again beside the report's files: `found` names what `call` is made of."""
    return (
        f"import json\nfrom scaling_report.{module} import {call.split('(')[0]}\n\n"
        f'told = json.load(open("{file}", encoding="utf-8"))\n{found}\n'
        f"chart = {call}  # Vega-Lite, as `altair.Chart.from_dict(chart)` takes it"
    )


def point_layers(rows: list[Row], told: Sequence[str]) -> list[alt.Chart]:
    """Measured runs, bars from `low` to `high` where they differ; hidden ones as diamonds of another colour.

    Rows have x, y, low, high, held_out and the fields that are `told` where one points at them.
    """
    layers = []
    for held_out, role, shape, size in (
        (False, "measured", "circle", 52),
        (True, "predicted", "diamond", 110),
    ):
        chosen = [
            {name: value for name, value in row.items() if name != "held_out"}
            for row in rows
            if row["held_out"] is held_out
        ]
        bars = [row for row in chosen if row["low"] < row["high"]]
        if bars:
            layers.append(bar(bars, role))
        if chosen:
            layers.append(
                data_layer(chosen)
                .mark_point(filled=True, opacity=1, shape=shape, size=size, color=light(role))
                .encode(tooltip=tooltip(*told))
            )
    return layers


def bar(rows: list[Row], role: str, offset: int = 0) -> alt.Chart:
    """A rule from `low` to `high` of each row, in the colour of a role, some pixels to the right."""
    bar = data_layer(rows).mark_rule(color=light(role), strokeWidth=1.6, xOffset=offset)
    return bar.encode(x=alt.X("x:Q"), y=alt.Y("low:Q"), y2=alt.Y2("high:Q"))


def tooltip(*fields: str) -> list[alt.Tooltip]:
    """What is told of a mark that is pointed at."""
    return [alt.Tooltip(f"{field}:N") for field in fields]


def data_layer(rows: list[Row]) -> alt.Chart:
    """A chart of rows that stand in it, without a mark yet."""
    return alt.Chart(alt.InlineData(values=rows))


def chart_controls(spec: Spec, rungs: Sequence[str] = ()) -> tuple[Control, ...]:
    """The checkboxes that suit a chart: bands, y logarithmic where it is above zero, each of `rungs`."""
    parameters = {parameter["name"] for parameter in spec.get("params", ())}
    controls = [Control("bands", BANDS)] if BANDS in parameters else []
    if spec["encoding"]["y"]["scale"].get("domain", [1])[0] > 0:
        controls.append(Control("logarithmic y", "log", on=False))
    if len(rungs) > 1:
        controls += [Control(rung, HIDDEN, value=rung) for rung in rungs]
    return tuple(controls)


def finish(
    chart: alt.Chart | alt.LayerChart, description: str, parameters: Mapping[str, Any] | None = None
) -> Spec:
    """The chart as Vega-Lite in the report's look, with the parameters that its controls set."""
    text, muted = light("ink"), light("muted")
    font = {
        "labelColor": muted,
        "titleColor": muted,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
    }
    spec: Spec = (
        chart.properties(width=WIDTH, height=HEIGHT, description=description)
        .configure(
            background=light("paper"),
            font="Helvetica Neue, Arial, sans-serif",
            aria=False,  # the figure carries the description, and its table the numbers
            padding={"left": 2, "right": 8, "top": 8, "bottom": 4},
            axis={**font, "gridColor": light("line"), "tickColor": light("line")},
            legend={"labelColor": text, "labelFontSize": 12, "symbolSize": 160},
            text={"fontSize": 12, "color": text},
            view={"stroke": None},
        )
        .to_dict(validate=False)
    )
    if parameters:
        spec["params"] = [{"name": name, "value": value} for name, value in parameters.items()]
    return spec
