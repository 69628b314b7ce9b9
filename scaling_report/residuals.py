"""The chart of how far each run lies from a law: what a curve through the points may hide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt

from scaling_report.axes import log_axis, y_axis
from scaling_report.figures import x_domain
from scaling_report.marks import Spec, data_layer, finish, point_layers
from scaling_report.notation import fixed
from scaling_report.palette import light
from scaling_report.wording import AXIS_NAMES


def residual_chart(series: Mapping[str, Any], fit: Mapping[str, Any]) -> Spec:
    """Vega-Lite of one fit's residuals against its axis, zero being the law; at least one is known."""
    axis = fit["x"]
    rows = [
        {
            "x": point["x"][axis],
            "y": away,
            "low": away,
            "high": away,
            "rung": point["rung"],
            "seed": "–" if point["seed"] is None else str(point["seed"]),
            "residual": fixed(away, 4),
            "held_out": point["held_out"],
        }
        for point, away in zip(series["points"], fit["residuals"], strict=True)
        if away is not None
    ]
    far = 1.15 * max(*(abs(row["y"]) for row in rows), 1e-6)
    fitted = fit["formula"].split(" = ")[0]  # the value, or its distance to a ceiling
    of = "" if fitted == "y" else f", of {fitted}"
    ends = x_domain(series, axis, None)
    x = alt.X("x:Q", scale=alt.Scale(type="log", domain=ends, nice=False), axis=log_axis(axis, ends))
    y = alt.Y(
        "y:Q",
        scale=alt.Scale(domain=[-far, far], nice=False),
        axis=y_axis(f"ln measured − ln fitted{of} · hidden rungs were not fitted"),
    )
    zero = data_layer([{"y": 0.0}]).mark_rule(color=light("measured"), strokeWidth=1.6)
    layers = [
        zero.encode(x=alt.XValue(0), x2=alt.X2Value("width"), y=alt.Y("y:Q")),
        *point_layers(rows, ("rung", "seed", "residual")),
    ]
    described = f"Residuals of {series['title']} against {AXIS_NAMES[axis]}: {fit['formula']}."
    return finish(alt.layer(*layers).encode(x=x, y=y), described)
