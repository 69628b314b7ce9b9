"""Every series tested before it is believed: its largest rungs hidden, predicted, compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from scaling_report.curves import FAR, Curve, fit_axis, name_law
from scaling_report.forecast import Forecast, hide_largest, predict_rung
from scaling_report.frame import Series
from scaling_report.notation import significant
from scaling_report.settings import ReportSettings
from scaling_report.trend import find_trend
from scaling_report.wording import AXIS_NAMES, capital, count, forecast_sentence

HIDDEN = (1, 2)  # how many of the largest rungs each test hides, beside what the recipe asks for


def backtest_series(
    series: Series, settings: ReportSettings, fitted: Sequence[Curve]
) -> list[dict[str, Any]]:
    """One entry a test, by how many of the largest rungs it hides: `hide`, `forecast`, and why there is none.

    `fitted` are the curves of what `settings.holdout` leaves in sight; the other tests fit their own.
    """
    entries = []
    for hide in sorted({*HIDDEN, settings.holdout} - {0}):
        found, reason = predict_hidden(series, hide, settings, fitted if hide == settings.holdout else None)
        entries.append({"hide": hide, "forecast": found, "no_forecast_reason": reason})
    return entries


def predict_hidden(
    series: Series, hide: int, settings: ReportSettings, fitted: Sequence[Curve] | None = None
) -> tuple[dict[str, Any] | None, str | None]:
    """The forecast of the `hide` largest rungs by a fit that never saw them, or in words why there is none.

    The largest hidden rung's stands in front, every hidden rung's in `rungs`.
    """
    axis = settings.x[0]
    visible, hidden = hide_largest(series, hide, axis)
    trend = find_trend(visible, axis)
    sizes = capital(count(trend.sizes, "size"))
    if not hidden and trend.sizes < 2:
        return None, f"{sizes} cannot be forecast from; it takes two or more."
    if not hidden:
        return None, "No rung is hidden (report.holdout is 0), so there is nothing to forecast."
    if trend.verdict is None:
        return None, f"{sizes} to fit; a law takes three or more to be judged."
    if not trend.moves:
        p = significant(trend.p_value, 2)
        return (
            None,
            f"The {count(trend.sizes, 'size')} that are not hidden show no clear trend (p = {p}), so there "
            "is no forecast.",
        )
    if fitted is None:
        fitted, _ = fit_axis(series, visible, axis, settings, best_only=True)
    best = next((one for one in fitted if one.axis == axis and one.chosen), None)
    if best is None:
        return None, f"No law could be fitted against {AXIS_NAMES[axis]}."
    forecasts = [
        predict_rung(
            [point for point in hidden if point.rung == rung],
            visible,
            axis,
            law=best.fit.law,
            parameters=best.fit.parameters,
            bootstrap=best.bootstrap,
            target=best.target,
            level=settings.level,
        )
        for rung in dict.fromkeys(point.rung for point in hidden)
    ]
    return _entry(series, forecasts, best, settings), None


def _entry(
    series: Series, forecasts: Sequence[Forecast], best: Curve, settings: ReportSettings
) -> dict[str, Any]:
    largest = forecasts[-1]
    reach = largest.x / float(best.x.max())
    hidden = [forecast.rung for forecast in forecasts]
    sentence = forecast_sentence(series, largest, name_law(best), settings.level, hidden, best.fit.sizes)
    if reach > FAR:
        sentence += f" This reaches {significant(reach, 2)} times beyond the largest rung fitted."
    entries = [{**asdict(forecast), "interval": list(forecast.interval)} for forecast in forecasts]
    front = entries[-1]
    return {
        "x": best.axis,
        "held_out": hidden,
        "law": best.fit.law,
        "law_name": name_law(best),
        **{name: front[name] for name in ("predicted", "interval", "actual", "error_percent", "inside")},
        "level": settings.level,
        "reach": reach,
        "last_value": front["last_value"],
        "log_log_line": front["log_log_line"],
        "sentence": sentence,
        "rungs": entries,
    }
