"""One entry of laws.json's `compute_optimal` -> its two charts: iso-FLOP parabolas, and the frontier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from scaling_report.axes import log_axis, y_axis
from scaling_report.marks import Row, Spec, data_layer, finish, tooltip
from scaling_report.notation import power_of_ten, short, significant
from scaling_report.palette import light, rung_colours
from scaling_report.wording import AXIS_NAMES, capital

CURVE = 24  # points of a parabola
LEGEND = 9  # budgets named in the legend at most
STYLES = {  # of each approach: words, colour's role, dash
    "surface": ("3: fitted surface", "measured", [1, 0]),
    "isoflop": ("2: iso-FLOP parabolas", "predicted", [7, 3]),
    "envelope": ("1: lowest loss by compute", "ink", [2, 3]),
}
Value = Mapping[str, Any]


def isoflop_chart(value: Value) -> Spec:
    """Loss against N: runs and parabola of each budget in its colour, the vertex a diamond.

    Runs of a budget without a vertex are hollow. At least one budget must have a parabola.
    """
    groups = value["groups"]
    names = list(dict.fromkeys(_budget(group) for group in groups))
    runs = [_run(value, group, run) for group in groups for run in group["runs"]]
    curves = [row for group in groups if not group["rejected"] for row in _parabola(value, group)]
    vertices = [
        {"x": group["n"], "y": group["loss"], "budget": _budget(group), "best": short(group["n"]),
         "tokens": short(group["d"]), "loss": significant(group["loss"])}
        for group in groups
        if not group["rejected"]
    ]  # fmt: skip
    colour = _budget_colour(names)
    layers = [
        data_layer(curves).mark_line(strokeWidth=1.8).encode(color=colour, detail=alt.Detail("budget:N")),
        data_layer([row for row in runs if not row["hollow"]])
        .mark_point(filled=True, opacity=1, size=42)
        .encode(color=colour, tooltip=tooltip("budget", "size", "loss")),
        data_layer([row for row in runs if row["hollow"]])
        .mark_point(filled=False, opacity=1, size=36, strokeWidth=1.4)
        .encode(color=colour, tooltip=tooltip("budget", "size", "loss")),
        data_layer(vertices)
        .mark_point(filled=True, opacity=1, shape="diamond", size=90, color=light("predicted"))
        .encode(tooltip=tooltip("budget", "best", "tokens", "loss")),
    ]
    domain = [min(row["x"] for row in runs) / 1.2, max(row["x"] for row in runs) * 1.2]
    x = alt.X(
        "x:Q", scale=alt.Scale(type="log", domain=domain, nice=False), axis=log_axis(value["x"], domain)
    )
    y = alt.Y(
        "y:Q",
        scale=alt.Scale(zero=False, nice=False, domain=_room([row["y"] for row in runs])),
        axis=y_axis(f"{capital(value['unit'])} · lower is better ↓"),
    )
    chart = alt.layer(*(layer for layer in layers if layer.data.values)).encode(x=x, y=y)
    described = (
        f"{value['title']}: loss against size at {len(groups)} FLOPs budgets, {len(vertices)} with a vertex."
    )
    return finish(chart, described)


def frontier_chart(value: Value) -> Spec:
    """N* against C on logarithmic axes: each approach's line, interval and points over the runs."""
    grid = value["frontier"]["flops"]
    known = [name for name in STYLES if name in value["frontier"]]
    runs = [
        {"x": run["c"], "y": run["n"], "loss": significant(run["y"]), "tokens": short(run["d"])}
        for run in value["runs"]
    ]
    domain, sizes = _reach([grid[0], grid[-1]], 1.15), [row["y"] for row in runs]
    y_domain = _reach(
        [min(sizes), max(max(sizes), *(value["frontier"][name]["n"][-1] for name in known))], 1.4
    )
    mark = data_layer(runs).mark_point(
        filled=False, opacity=0.55, size=26, strokeWidth=1.1, color=light("muted")
    )
    layers = [mark.encode(tooltip=tooltip("loss", "tokens"))]
    layers += [layer for name in known if (layer := _band(value, name, y_domain))]
    layers.append(_lines(value, known, y_domain))
    layers += [_points(one) for one in value["approaches"] if one["exponent_n"] is not None and one["points"]]
    x = alt.X("x:Q", scale=alt.Scale(type="log", domain=domain, nice=False), axis=log_axis("flops", domain))
    y = alt.Y(
        "y:Q", scale=alt.Scale(type="log", domain=y_domain, nice=False), axis=_size_axis(value["x"], y_domain)
    )
    by = f"{len(known)} approaches, for {value['title']}"
    described = f"Best {AXIS_NAMES[value['x']]} against training FLOPs by {by}."
    return finish(alt.layer(*layers).encode(x=x, y=y), described)


def _band(value: Value, name: str, y_domain: Sequence[float]) -> alt.Chart | None:
    """The interval, cut to the chart."""
    found, (low, high) = value["frontier"][name], y_domain
    rows = [
        {"x": c, "low": min(max(ends[0], low), high), "high": min(max(ends[1], low), high)}
        for c, ends in zip(value["frontier"]["flops"], found["band"] or (), strict=False)
        if ends
    ]
    if not rows:
        return None
    return (
        data_layer(rows)
        .mark_area(color=light(STYLES[name][1]), opacity=0.13)
        .encode(x=alt.X("x:Q"), y=alt.Y("low:Q"), y2=alt.Y2("high:Q"))
    )


def _lines(value: Value, known: Sequence[str], y_domain: Sequence[float]) -> alt.Chart:
    low, high = y_domain  # a clipped layer would need ids, which may meet in a page
    rows = [
        {"x": c, "y": n, "approach": STYLES[name][0]}
        for name in known
        for c, n in zip(value["frontier"]["flops"], value["frontier"][name]["n"], strict=True)
        if low <= n <= high
    ]
    words, roles, dashes = zip(*(STYLES[name] for name in known), strict=True)
    legend = alt.Legend(
        orient="bottom", title=None, symbolType="stroke", symbolStrokeWidth=2.4, columns=2, labelLimit=260
    )
    colours = alt.Scale(domain=list(words), range=[light(role) for role in roles])
    return (
        data_layer(rows)
        .mark_line(strokeWidth=2)
        .encode(
            color=alt.Color("approach:N", sort=None, scale=colours, legend=legend),
            strokeDash=alt.StrokeDash(
                "approach:N",
                sort=None,
                scale=alt.Scale(domain=list(words), range=list(dashes)),
                legend=legend,
            ),
        )
    )


def _points(approach: Value) -> alt.Chart:
    """The winners or vertices that the line goes through."""
    words, role, _ = STYLES[approach["name"]]
    rows = [
        {"x": c, "y": n, "approach": words, "size": short(n), "tokens": short(d)}
        for c, n, d in approach["points"]
    ]
    shape = "diamond" if approach["name"] == "isoflop" else "cross"
    mark = data_layer(rows).mark_point(filled=True, opacity=1, size=46, shape=shape, color=light(role))
    return mark.encode(tooltip=tooltip("approach", "size", "tokens"))


def _size_axis(name: str, domain: Sequence[float]) -> alt.Axis:
    """A logarithmic y axis of sizes, titled above its labels."""
    ticks, axis = log_axis(name, domain), y_axis(f"Best {AXIS_NAMES[name]}")
    axis.values, axis.labelExpr = ticks.values, ticks.labelExpr
    axis.labelOverlap, axis.gridOpacity = "greedy", 0.6
    return axis


def _budget_colour(names: Sequence[str]) -> alt.Color:
    shown = names if len(names) <= LEGEND else [names[round(i * (len(names) - 1) / 5)] for i in range(6)]
    legend = alt.Legend(
        orient="bottom",
        title="FLOPs",
        titleFontWeight="normal",
        titleFontSize=12,
        titleColor=light("muted"),
        symbolType="circle",
        columns=3,
        values=list(shown),
    )
    scale = alt.Scale(domain=list(names), range=rung_colours(len(names)))
    return alt.Color("budget:N", sort=None, scale=scale, legend=legend)


def _run(value: Value, group: Value, place: int) -> Row:
    run = value["runs"][place]
    return {
        "x": run["n"], "y": run["y"], "budget": _budget(group), "hollow": bool(group["rejected"]),
        "size": short(run["n"]), "loss": significant(run["y"]),
    }  # fmt: skip


def _parabola(value: Value, group: Value) -> list[Row]:
    sizes = [value["runs"][place]["n"] for place in group["runs"]]
    log_n = np.linspace(np.log(min(sizes)), np.log(max(sizes)), CURVE)
    losses = np.polyval(group["parabola"], log_n - group["centre"])
    return [
        {"x": float(f"{x:.5g}"), "y": float(f"{y:.6g}"), "budget": _budget(group)}
        for x, y in zip(np.exp(log_n), losses, strict=True)
    ]


def _budget(group: Value) -> str:
    return power_of_ten(group["flops"])


def _room(values: Sequence[float]) -> list[float]:
    air = 0.06 * (max(values) - min(values)) or 0.05 * abs(max(values))
    return [min(values) - air, max(values) + air]


def _reach(ends: Sequence[float], factor: float) -> list[float]:
    return [ends[0] / factor, ends[1] * factor]
