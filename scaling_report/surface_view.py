"""A surface of laws.json -> its section of the report: loss against tokens by rung, parameters, backtests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import numpy as np

from scaling_report.axes import log_axis, y_axis
from scaling_report.laws import LAWS
from scaling_report.marks import Row, Spec, data_layer, finish
from scaling_report.notation import integer, short, signed_percent, significant, slug, with_error
from scaling_report.palette import rung_colours
from scaling_report.parts import Column, Figure, Section, Table
from scaling_report.wording import AXIS_NAMES, capital

GRID_POINTS = 40
REACH = 2.0  # of each rung's own tokens, either way


def tell_surface(surface: Mapping[str, Any]) -> Section:
    """The section of one entry of laws.json's `surfaces`."""
    own = surface["conventions"][surface["x"]]
    known = "identified" if own["identified"] else "not identified"
    return Section(
        id=f"surface-{slug(surface['id'])}",
        group="Size and data together",
        title=f"{surface['title']}: {surface['formula']}",
        sentences=tuple(surface["sentences"]),
        figures=(
            Figure(
                id=f"surface-{slug(surface['id'])}",
                tab="by tokens",
                description=f"{surface['title']} against training tokens, a line for each rung",
                spec=surface_chart(surface),
                key=(("measured", "runs, coloured by rung"), ("fit", f"the law, {known}")),
            ),
        ),
        tables=(_parameters(surface), *_backtests(surface), _runs(surface)),
        small_print="",
    )


def surface_chart(surface: Mapping[str, Any]) -> Spec:
    """Vega-Lite of every run's loss against its tokens, and the law's curve for each rung."""
    points = surface["points"]
    rungs = list(dict.fromkeys(point["rung"] for point in points))
    rows: list[Row] = [
        {
            "rung": point["rung"],
            "x": point["d"],
            "y": point["y"],
            "tokens": short(point["d"]),
            "value": significant(point["y"]),
        }
        for point in points
    ]
    curves: list[Row] = []
    parameters = np.array([list(surface["conventions"][surface["x"]]["parameters"].values())])
    for rung in rungs:
        own = [point for point in points if point["rung"] == rung]
        tokens = [point["d"] for point in own]
        d = np.geomspace(min(tokens) / REACH, max(tokens) * REACH, GRID_POINTS)
        n = np.full_like(d, own[0]["n"])
        y = LAWS[surface["law"]].predict(np.stack([n, d]), parameters)[0]
        curves += [
            {"rung": rung, "x": float(f"{at:.6g}"), "y": float(f"{value:.6g}")}
            for at, value in zip(d, y, strict=True)
        ]
    domain = [min(row["x"] for row in curves), max(row["x"] for row in curves)]
    x = alt.X("x:Q", scale=alt.Scale(type="log", domain=domain, nice=False), axis=log_axis("tokens", domain))
    y_title = f"{capital(surface['unit'])} · lower is better ↓"
    y_channel = alt.Y("y:Q", scale=alt.Scale(zero=False), axis=y_axis(y_title))
    colour = alt.Color(
        "rung:N",
        sort=None,
        scale=alt.Scale(domain=rungs, range=rung_colours(len(rungs))),
        legend=alt.Legend(orient="bottom", title=None, symbolType="circle", columns=6),
    )
    tooltip = [alt.Tooltip(f"{name}:N") for name in ("rung", "tokens", "value")]
    chart = alt.layer(
        data_layer(curves).mark_line(strokeWidth=1.6, strokeDash=[5, 4]).encode(detail=alt.Detail("rung:N")),
        data_layer(rows).mark_point(filled=True, opacity=1, size=60).encode(tooltip=tooltip),
    ).encode(x=x, y=y_channel, color=colour)
    return finish(chart, f"{surface['title']} against training tokens, a line for each rung.")


def _parameters(surface: Mapping[str, Any]) -> Table:
    names = LAWS[surface["law"]].parameters
    columns = (
        Column("N counted as", numeric=False),
        *map(Column, names),
        Column("Identified", numeric=False),
    )
    rows = []
    for axis, found in surface["conventions"].items():
        errors = found["standard_errors"] or {}
        cells = (with_error(found["parameters"][name], errors.get(name)) for name in names)
        rows.append((AXIS_NAMES[axis], *cells, "yes" if found["identified"] else "no"))
    return Table(f"{surface['formula']}, ± s.e.", columns, tuple(rows))


def _backtests(surface: Mapping[str, Any]) -> tuple[Table, ...]:
    share = f"{100 * surface['level']:g} % interval"
    columns = (
        Column("Hidden", numeric=False),
        Column("Rung", numeric=False),
        *map(Column, ("Tokens", "Predicted", share, "Measured", "Error")),
    )
    rows = [
        (
            test["hidden"],
            run["rung"],
            integer(run["d"]),
            significant(run["predicted"]),
            " to ".join(significant(end) for end in run["interval"]),
            significant(run["actual"]),
            signed_percent(run["error_percent"]),
        )
        for test in surface["backtests"]
        for run in test["runs"]
    ]
    return (Table("Hidden runs, predicted and measured", columns, tuple(rows)),) if rows else ()


def _runs(surface: Mapping[str, Any]) -> Table:
    columns = (
        Column("Rung", numeric=False),
        *map(Column, ("N", "Tokens", "FLOPs", capital(surface["unit"]))),
    )
    rows = tuple(
        (
            point["rung"],
            integer(point["n"]),
            integer(point["d"]),
            significant(point["c"], 3),
            significant(point["y"]),
        )
        for point in surface["points"]
    )
    return Table("Measured", columns, rows)
