"""The charts of one series of laws.json as figures: against each axis, residuals; their keys and controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scaling_report.figures import chosen_fit, metric_chart
from scaling_report.marks import chart_controls, recipe_of
from scaling_report.notation import slug
from scaling_report.parts import Figure
from scaling_report.residuals import residual_chart
from scaling_report.wording import AXIS_NAMES

TABS = {
    "non_embedding": "by size",
    "total": "by total size",
    "matmul": "by matmul size",
    "flops": "by compute",
    "tokens": "by tokens",
}
Series = Mapping[str, Any]


def series_figures(series: Series, axes: Sequence[str], level: float) -> tuple[Figure, ...]:
    """A figure for each of the axes, all of which the series has, and one of the residuals on the first."""
    return (*(_figure(series, axis, level) for axis in axes), *_residuals(series, axes))


def _figure(series: Series, axis: str, level: float) -> Figure:
    spec = metric_chart(series, axis)
    return Figure(
        id=f"{slug(series['id'])}-{slug(axis)}",
        tab=TABS[axis],
        description=f"{series['title']} against {AXIS_NAMES[axis]}",
        spec=spec,
        key=_key(series, axis, level),
        controls=chart_controls(spec),
        again=recipe_of("figures", f"metric_chart(series, {axis!r})", _find(series)),
    )


def _residuals(series: Series, axes: Sequence[str]) -> list[Figure]:
    """What the chosen law of the first axis leaves; none where no law was fitted there."""
    fit = chosen_fit(series, axes[0]) if axes else None
    if fit is None:
        return []
    key = [("measured", f"measured; 0 is the {fit['name']}")]
    if any(point["held_out"] for point in series["points"]):
        key.append(("truth", "hidden rung, measured"))
    figure = Figure(
        id=f"{slug(series['id'])}-residuals",
        tab="residuals",
        description=f"residuals of {series['title']} against {AXIS_NAMES[fit['x']]}",
        spec=residual_chart(series, fit),
        key=tuple(key),
        again=recipe_of(
            "residuals",
            "residual_chart(series, fit)",
            f"{_find(series)}\n"
            f"(fit,) = [one for one in series['fits'] if one['x'] == {fit['x']!r} and one['chosen']]",
        ),
    )
    return [figure]


def _find(series: Series) -> str:
    return f"(series,) = [one for one in told['series'] if one['id'] == {series['id']!r}]"


def _key(series: Series, axis: str, level: float) -> tuple[tuple[str, str], ...]:
    """What each kind of mark on the chart means, for the kinds that are there."""
    fit, forecast = chosen_fit(series, axis), series["forecast"]
    share = f"{100 * level:g} %"
    points = [point for point in series["points"] if point["x"].get(axis)]
    bars = ", ± one standard error" if any(point["stderr"] for point in points) else ""
    key = [("measured", f"measured{bars}")]
    if fit:
        key += [
            ("fit", f"{fit['name']}, dashed beyond the rungs it was fitted to"),
            ("confidence", f"{share} confidence band of the curve"),
            ("prediction", f"{share} prediction band of a new run"),
        ]
    if any(point["held_out"] for point in points):
        key.append(("truth", "hidden rung, measured"))
    if forecast and forecast["x"] == axis:
        key.append(("predicted", f"its prediction with {share} interval, drawn a little to the right"))
    if series["baselines"]:
        key.append(("baseline", "baseline"))
    return tuple(key)
