"""A series of laws.json, or learning curves -> the Vega-Lite chart of the page and of the figure files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from scaling_report.axes import log_axis, metric_axis, y_axis
from scaling_report.marks import BANDS, HIDDEN, Row, Spec, bar, data_layer, finish, point_layers, tooltip
from scaling_report.notation import axis_value, significant, with_error
from scaling_report.palette import light, rung_colours
from scaling_report.wording import AXIS_NAMES

NUDGE = 9  # pixels that a prediction stands to the right of its truth, so that neither hides the other
CURVE_POINTS = 90  # of a learning curve: more cannot be told apart in print


def metric_chart(series: Mapping[str, Any], axis: str) -> Spec:
    """Vega-Lite of one series against one axis: points, chosen law and its bands, baselines, forecast, truth.

    Of `series` (an entry of laws.json's `series`) the axis must be known for one point at least.
    """
    fit = chosen_fit(series, axis)
    ends, y_domain = x_domain(series, axis, fit), _y_domain(series, axis, fit)
    x = alt.X("x:Q", scale=alt.Scale(type="log", domain=ends, nice=False), axis=log_axis(axis, ends))
    y = alt.Y("y:Q", scale=alt.Scale(domain=y_domain, nice=False, zero=False), axis=metric_axis(series))
    layers = [
        *(_fit_layers(series, fit, axis, y_domain) if fit else []),
        *_baseline_layers(series),
        *_measured_layers(series, axis),
        *_forecast_layers(series, axis),
    ]
    described = f"{series['title']} against {AXIS_NAMES[axis]}. {series['trend']['sentence']}"
    return finish(alt.layer(*layers).encode(x=x, y=y), described, {BANDS: True} if fit else {})


def learning_curves(curves: Sequence[Mapping[str, Any]]) -> Spec:
    """Vega-Lite of training loss against tokens seen, a line for each run, coloured by size.

    `curves` are run.json's: rung, seed, points [[tokens, loss_nats], …]; at least one point in all.
    """
    rungs = list(dict.fromkeys(str(curve["rung"]) for curve in curves if curve["points"]))
    rows: list[Row] = [
        {"run": f"{curve['rung']} {curve['seed']}", "rung": str(curve["rung"]), "x": tokens, "y": loss}
        for curve in curves
        for tokens, loss in _thin(curve["points"])
    ]
    domain = [min(row["x"] for row in rows), max(row["x"] for row in rows)]
    colour = alt.Color(
        "rung:N",
        sort=None,
        scale=alt.Scale(domain=rungs, range=rung_colours(len(rungs))),
        legend=alt.Legend(orient="bottom", title=None, symbolType="stroke", symbolStrokeWidth=3, columns=4),
    )
    chart = (
        data_layer(rows)
        .mark_line(strokeWidth=1.8, interpolate="monotone")
        .encode(
            x=alt.X(
                "x:Q",
                scale=alt.Scale(type="log", domain=domain, nice=False),
                axis=log_axis("tokens", domain),
            ),
            y=alt.Y("y:Q", scale=alt.Scale(zero=False), axis=y_axis("Training loss, nats per token")),
            color=colour,
            detail=alt.Detail("run:N"),
        )
        .transform_filter(f"indexof({HIDDEN}, datum.rung) < 0")
    )
    return finish(chart, "Training loss against tokens seen, a line for each rung.", {HIDDEN: []})


def chosen_fit(series: Mapping[str, Any], axis: str) -> Mapping[str, Any] | None:
    """The law that the forecast rule chose on `axis`, or None where the series has no fit there."""
    return next((fit for fit in series["fits"] if fit["x"] == axis and fit["chosen"]), None)


def has_axis(series: Mapping[str, Any], axis: str) -> bool:
    """Whether any point of the series knows where it stands on `axis`."""
    return any(point["x"].get(axis) for point in series["points"])


def _fit_layers(
    series: Mapping[str, Any], fit: Mapping[str, Any], axis: str, y_domain: Sequence[float]
) -> list[alt.Chart]:
    """The two bands, cut to the chart, and the curve: solid over the runs it was fitted to, dashed beyond."""
    grid = fit["grid"]
    low, high = y_domain
    seen = max(
        point["x"][axis] for point in series["points"] if point["x"].get(axis) and not point["held_out"]
    )
    bands = [
        data_layer(
            [
                {"x": x, "low": min(max(band[0], low), high), "high": min(max(band[1], low), high)}
                for x, band in zip(grid["x"], grid[name], strict=True)
            ],
        )
        .mark_area(color=light("measured"), opacity=alt.ExprRef(f"{BANDS} ? {opacity} : 0"))
        .encode(x=alt.X("x:Q"), y=alt.Y("low:Q"), y2=alt.Y2("high:Q"))
        for name, opacity in (("prediction", 0.13), ("confidence", 0.25))
    ]
    curve = [{"x": x, "y": y} for x, y in zip(grid["x"], grid["fit"], strict=True) if low <= y <= high]
    beyond = [row for row in curve if row["x"] >= seen]
    within = [row for row in curve if row["x"] < seen] + beyond[:1]
    lines = [
        data_layer(rows).mark_line(color=light("measured"), strokeWidth=2, strokeDash=dash)
        for rows, dash in ((within, [1, 0]), (beyond, [5, 4]))
    ]
    return [*bands, *lines]


def _baseline_layers(series: Mapping[str, Any]) -> list[alt.Chart]:
    """A dotted rule for each baseline, named at its right end on the side where no points are."""
    rows = [
        {"y": base["value"], "name": f"{base['name']} {significant(base['value'], 3)}"}
        for base in series["baselines"]
    ]
    if not rows:
        return []
    rule = (
        data_layer(rows)
        .mark_rule(color=light("muted"), strokeDash=[2, 3], strokeWidth=1.4)
        .encode(x=alt.XValue(0), x2=alt.X2Value("width"), y=alt.Y("y:Q"))
    )
    label = (
        data_layer(rows)
        .mark_text(align="right", dx=-4, dy=12 if series["higher_is_better"] else -8, color=light("muted"))
        .encode(x=alt.XValue("width"), y=alt.Y("y:Q"), text=alt.Text("name:N"))
    )
    return [rule, label]


def _measured_layers(series: Mapping[str, Any], axis: str) -> list[alt.Chart]:
    """Measured runs with a bar of one standard error, and the hidden ones."""
    rows = [_point_row(point, axis) for point in _points(series, axis)]
    return point_layers(rows, ("rung", "seed", "at", "value"))


def _forecast_layers(series: Mapping[str, Any], axis: str) -> list[alt.Chart]:
    """Each hidden rung's prediction, open and with its interval, a little to the right of its truth."""
    forecast = series["forecast"]
    if forecast is None or forecast["x"] != axis:
        return []
    rows = [
        {
            "x": one["x"],
            "y": one["predicted"],
            "low": one["interval"][0],
            "high": one["interval"][1],
            "rung": one["rung"],
            "predicted": significant(one["predicted"]),
            "interval": f"{significant(one['interval'][0])} to {significant(one['interval'][1])}",
            "measured": significant(one["actual"]),
        }
        for one in forecast["rungs"]
    ]
    marker = (
        data_layer(rows)
        .mark_point(
            filled=True, opacity=1, shape="circle", size=74, xOffset=NUDGE,
            fill=light("paper"), stroke=light("predicted"), strokeWidth=2,
        )
        .encode(tooltip=tooltip("rung", "predicted", "interval", "measured"))
    )  # fmt: skip
    return [bar(rows, "predicted", offset=NUDGE), marker, _forecast_note(series, rows[-1])]


def _forecast_note(series: Mapping[str, Any], largest: Row) -> alt.Chart:
    """The largest forecast in two lines, in the upper corner that a curve of this direction leaves empty."""
    falls = not series["higher_is_better"]
    predicted = f"{largest['rung']} hidden: predicted {largest['predicted']}"
    text = f"{predicted}\n({largest['interval']}), measured {largest['measured']}"
    return (
        data_layer([{"text": text}])
        .mark_text(
            align="right" if falls else "left", baseline="top", dx=-4 if falls else 8, dy=2,
            lineBreak="\n", lineHeight=17, color=light("predicted"),
        )
        .encode(x=alt.XValue("width" if falls else 0), y=alt.YValue(0), text=alt.Text("text:N"))
    )  # fmt: skip


def _point_row(point: Mapping[str, Any], axis: str) -> Row:
    value, error = point["value"], point["stderr"] or 0.0
    return {
        "x": point["x"][axis],
        "y": value,
        "low": value - error,
        "high": value + error,
        "rung": point["rung"],
        "seed": "–" if point["seed"] is None else str(point["seed"]),
        "at": f"{axis_value(axis, point['x'][axis])} {AXIS_NAMES[axis]}",
        "value": with_error(value, point["stderr"]),
        "held_out": point["held_out"],
    }


def _points(series: Mapping[str, Any], axis: str) -> list[Mapping[str, Any]]:
    return [point for point in series["points"] if point["x"].get(axis)]


def x_domain(series: Mapping[str, Any], axis: str, fit: Mapping[str, Any] | None) -> list[float]:
    """From a little before the smallest run to a little past the largest, or to the end of the curve."""
    at = [point["x"][axis] for point in _points(series, axis)]
    end = max([max(at) * 1.3, *(fit["grid"]["x"] if fit else [])])
    return [min(at) / 1.3, end]


def _y_domain(series: Mapping[str, Any], axis: str, fit: Mapping[str, Any] | None) -> list[float]:
    """Where the points, baselines and forecasts are, with air around them; the bands may leave the chart."""
    values = [base["value"] for base in series["baselines"]]
    for point in _points(series, axis):
        error = point["stderr"] or 0.0
        values += [point["value"] - error, point["value"] + error]
    if series["forecast"] and series["forecast"]["x"] == axis:
        values += [edge for one in series["forecast"]["rungs"] for edge in one["interval"]]
    if fit:
        values += [fit["grid"]["fit"][0], fit["grid"]["fit"][-1]]
    low, high = min(values), max(values)
    air = 0.07 * (high - low) or 0.05 * abs(high) or 0.5
    return [low - air, high + air]


def _thin(points: Sequence[Sequence[float]]) -> list[Sequence[float]]:
    """At most `CURVE_POINTS` of a curve, evenly spaced along a logarithmic axis, the last point kept."""
    usable = [point for point in points if point[0] > 0 and point[1] is not None]
    if len(usable) <= CURVE_POINTS:
        return usable
    span = math.log(usable[-1][0] / usable[0][0])
    kept = {round((CURVE_POINTS - 1) * math.log(point[0] / usable[0][0]) / span): point for point in usable}
    return list(kept.values())
