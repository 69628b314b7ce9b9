"""How a judged fit shows itself in a notebook: a chart, its table, the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import altair as alt
import numpy as np
from markupsafe import Markup, escape

from scaling_report.axes import log_ticks
from scaling_report.laws import LAWS, Array
from scaling_report.markdown import escape as plain
from scaling_report.marks import finish
from scaling_report.notation import significant
from scaling_report.palette import light
from scaling_report.svg import draw

if TYPE_CHECKING:
    from scaling_report.judgement import Judgement

_CURVE_POINTS = 60
_REACH = 1.5  # times beyond the largest run that the curve is drawn
_BANDS = (("prediction", 0.13), ("confidence", 0.25))


def show(found: Judgement) -> dict[str, str]:
    """The fit by media type: HTML with the chart in it, Markdown, plain text. No script, no network."""
    return {"text/html": as_html(found), "text/markdown": as_markdown(found), "text/plain": as_text(found)}


def as_html(found: Judgement) -> str:
    """Chart, table and verdict; what comes from the data is escaped."""
    names, rows = table_of(found)
    head = Markup("").join(Markup("<th>{}</th>").format(name) for name in names)
    body = Markup("").join(
        Markup("<tr>{}</tr>").format(Markup("").join(Markup("<td>{}</td>").format(cell) for cell in row))
        for row in rows
    )
    said = Markup("").join(Markup("<li>{}</li>").format(line) for line in said_of(found))
    chart = Markup(draw(chart_of(found)))  # noqa: S704, drawn here: Vega escapes what it writes
    return str(
        Markup(
            "<figure>{}<figcaption>{}</figcaption></figure>"
            "<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table><ul>{}</ul>"
        ).format(chart, escape(_head(found)), head, body, said)
    )


def as_markdown(found: Judgement) -> str:
    """Table and verdict."""
    names, rows = table_of(found)
    lines = [
        f"**{plain(_head(found))}**",
        "",
        f"| {' | '.join(map(plain, names))} |",
        f"| --- |{' ---: |' * (len(names) - 1)}",
        *(f"| {' | '.join(map(plain, row))} |" for row in rows),
        "",
        *(f"- {plain(line)}" for line in said_of(found)),
    ]
    return "\n".join(lines) + "\n"


def as_text(found: Judgement) -> str:
    """Parameters and verdict, a line each."""
    names, rows = table_of(found)
    widths = [max(len(row[place]) for row in [names, *rows]) for place in range(len(names))]
    table = [
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in [names, *rows]
    ]
    return "\n".join([_head(found), "", *(line.rstrip() for line in table), "", *said_of(found)])


def table_of(found: Judgement) -> tuple[list[str], list[list[str]]]:
    """The columns' names, and a row for each parameter."""
    boot = found.bootstrap
    errors = boot.standard_errors() if boot else {}
    intervals = boot.interval(found.level) if boot else {}
    names = ["parameter", "value"]
    names += ["± s.e.", f"{100 * found.level:.0f} % interval"] if boot else []
    rows = []
    for name, value in found.fit.parameters.items():
        row = [name, significant(value, 6)]
        if boot:
            row += [significant(errors[name], 3), " to ".join(significant(end) for end in intervals[name])]
        rows.append(row)
    return names, rows


def said_of(found: Judgement) -> Sequence[str]:
    """The verdict, and what of the table the fit did not see."""
    runs = found.runs
    left_out = [f"left out: {line}" for line in runs.left_out] if runs else []
    return [*found.verdict, *left_out, *(runs.notes if runs else ())]


def chart_of(found: Judgement) -> dict[str, object]:
    """Vega-Lite: of one input the runs, the curve and its bands; of several measured against fitted."""
    if found.x.ndim == 1:
        return finish(_curve(found), f"{_head(found)}: the runs, the curve and its bands.")
    return finish(_against_fit(found), f"{_head(found)}: what was measured against what the law says.")


def _curve(found: Judgement) -> alt.LayerChart:
    x = np.geomspace(found.x.min(), found.x.max() * _REACH, _CURVE_POINTS)
    domain = [float(x[0] / _REACH), float(x[-1])]
    layers = [_band(found, x, name, opacity) for name, opacity in _BANDS] if found.bootstrap else []
    line = _rows(x=x, y=found.fit.predict(x)).mark_line(color=light("measured"), strokeWidth=2)
    dots = _rows(x=found.x, y=found.y).mark_circle(color=light("measured"), size=50, opacity=1)
    return alt.layer(*layers, line, dots).encode(
        x=alt.X(
            "x:Q",
            scale=alt.Scale(type="log", domain=domain, nice=False),
            axis=alt.Axis(title=found.inputs[0], values=log_ticks(*domain), format="~s", grid=False),
        ),
        y=alt.Y("y:Q", scale=alt.Scale(zero=False), axis=alt.Axis(title=_measured(found), tickCount=6)),
    )


def _band(found: Judgement, x: Array, name: str, opacity: float) -> alt.Chart:
    assert found.bootstrap is not None
    of = found.bootstrap.confidence if name == "confidence" else found.bootstrap.prediction
    low, high = of(x, found.level).T
    chart = _rows(x=x, y=low, high=high).mark_area(color=light("measured"), opacity=opacity)
    return chart.encode(x=alt.X("x:Q"), y=alt.Y("y:Q"), y2=alt.Y2("high:Q"))


def _against_fit(found: Judgement) -> alt.LayerChart:
    fitted = found.fit.predict(found.x)
    ends = np.array([min(fitted.min(), found.y.min()), max(fitted.max(), found.y.max())])
    scale = alt.Scale(domain=ends.tolist(), zero=False, nice=True)
    line = _rows(x=ends, y=ends).mark_line(color=light("muted"), strokeWidth=1)
    dots = _rows(x=fitted, y=found.y).mark_circle(color=light("measured"), size=50, opacity=0.7)
    return alt.layer(line, dots).encode(
        x=alt.X("x:Q", scale=scale, axis=alt.Axis(title=f"fitted {_measured(found)}", tickCount=6)),
        y=alt.Y("y:Q", scale=scale, axis=alt.Axis(title=f"measured {_measured(found)}", tickCount=6)),
    )


def _rows(**columns: Array) -> alt.Chart:
    values = [dict(zip(columns, map(float, row), strict=True)) for row in zip(*columns.values(), strict=True)]
    return alt.Chart(alt.InlineData(values=values))


def _head(found: Judgement) -> str:
    return f"{found.law}: {LAWS[found.fit.law].formula} · {found.fit.n:,} runs"


def _measured(found: Judgement) -> str:
    """The metric's name, with its unit where the name tells it."""
    if found.runs is None:
        return "y"
    unit = f", {found.runs.unit}" if found.runs.unit else ""
    return f"{found.runs.provenance['y']}{unit}"
