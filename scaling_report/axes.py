"""The axes of the charts: round ticks in plain notation, titles where they are read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from scaling_report.frame import METRIC_NAMES
from scaling_report.notation import short, superscript
from scaling_report.palette import light
from scaling_report.wording import AXIS_NAMES, capital


def log_axis(axis: str, domain: Sequence[float]) -> alt.Axis:
    """A logarithmic x axis with round ticks over `domain`, written as people write them: 20k, 5·10¹¹."""
    ticks = log_ticks(*domain)
    written = {tick: _tick_text(axis, tick) for tick in ticks}
    # labels are looked up by a tick's rounded logarithm, the one form of it that survives arithmetic
    cases = "".join(
        f"round(1000*log(datum.value)/LN10)=={round(1000 * math.log10(t))}?'{s}':" for t, s in written.items()
    )
    return alt.Axis(
        title=capital(AXIS_NAMES[axis]),
        values=ticks,
        labelExpr=f"{cases}''",
        labelOverlap="greedy",
        labelSeparation=8,
        grid=False,
        domainColor=light("muted"),
        tickColor=light("muted"),
        titlePadding=10,
    )


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers from `low` to `high`: 1-2-5 over fewer than four decades, else powers of ten."""
    steps = (1, 2, 5) if math.log10(high / low) < 4 else (1,)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high]


def _tick_text(axis: str, tick: float) -> str:
    if axis != "flops":
        return short(tick)
    exponent = math.floor(math.log10(tick) + 1e-9)
    leading = round(tick / 10.0**exponent)
    return ("" if leading == 1 else f"{leading}·") + f"10{superscript(exponent)}"


def metric_axis(series: Mapping[str, Any]) -> alt.Axis:
    """The y axis of a series: its metric, its unit where the name does not say it, which way is better."""
    name, unit = METRIC_NAMES[series["metric"]], series["unit"]
    measured_in = "" if unit in name else f", {unit}"
    arrow = "higher is better ↑" if series["higher_is_better"] else "lower is better ↓"
    return y_axis(f"{capital(name)}{measured_in} · {arrow}")


def y_axis(title: str) -> alt.Axis:
    """A y axis without a line of its own, titled above its labels, where titles are read."""
    return alt.Axis(
        title=title,
        titleAngle=0,
        titleAlign="left",
        titleAnchor="end",
        titleX=-38,
        titleY=-10,
        titleBaseline="bottom",
        tickCount=6,
        domain=False,
        ticks=False,
        labelPadding=8,
        minExtent=38,
        maxExtent=38,
    )
