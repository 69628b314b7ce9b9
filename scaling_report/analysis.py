"""Results -> everything the report says, as one JSON-able value: the content of `laws.json`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from eval.results import Result
from scaling_report.curves import FAR, Curve, curve_entry, fit_axis
from scaling_report.forecast import Forecast, hide_largest, predict_rung
from scaling_report.frame import Point, Series, from_results
from scaling_report.loss_to_task import loss_to_task
from scaling_report.notation import significant
from scaling_report.settings import ReportSettings
from scaling_report.target import target_of
from scaling_report.trend import Trend, find_trend
from scaling_report.wording import (
    AXIS_NAMES,
    BASELINE_ERRORS,
    baseline_sentence,
    capital,
    count,
    forecast_sentence,
    law_sentence,
    steps_sentence,
    trend_sentence,
)

FORMAT = 1


def analyse(results: Iterable[Result], settings: ReportSettings) -> dict[str, Any]:
    """Fit, forecast and judge every metric of a table of results.

    The value has the keys format, run, settings, series, verdict (sentences), left_out and
    loss_to_task. Fits and bands
    never see the hidden rungs. No NaN stands in it, and None comes with its reason beside it. Errors are
    signed, in per cent of the measured value. The same results and settings give the same value. Raises
    `InputError` for a table that contradicts itself.
    """
    results = list(results)
    frame = from_results(results, settings.x[0])
    series = [_analyse_series(one, settings) for one in frame.series]
    runs = sorted({result.run for result in results if result.run is not None})
    return {
        "format": FORMAT,
        "run": ", ".join(runs) or None,
        "settings": settings.model_dump(mode="json"),
        "series": series,
        "verdict": _verdict(frame.series, series),
        "left_out": [dict(vars(entry)) for entry in frame.left_out],
        "loss_to_task": loss_to_task(series),
    }


def _analyse_series(series: Series, settings: ReportSettings) -> dict[str, Any]:
    axis = settings.x[0]
    target = target_of(series)
    visible, hidden = hide_largest(series, settings.holdout, axis)
    trend, visible_trend = find_trend(series.points, axis), find_trend(visible, axis)
    notes: list[str] = []
    fitted: list[Curve] = []
    if visible_trend.moves:
        for name in settings.x:
            found, said = fit_axis(series.id, visible, name, target, settings)
            fitted += found
            notes += said
    forecasts, no_forecast = _forecast(series, visible, hidden, visible_trend, fitted, settings)
    above = _above_baseline(series)
    return {
        **_identity(series),
        "points": [_point(point, hidden) for point in series.points],
        "baselines": [asdict(baseline) for baseline in series.baselines],
        "above_baseline": above,
        "baseline_sentence": baseline_sentence(series, above) if series.baselines else None,
        "trend": _trend(series, trend, visible_trend, axis),
        "fits": [curve_entry(one, series, target, settings) for one in fitted],
        "forecast": forecasts,
        "no_forecast_reason": no_forecast,
        "notes": list(dict.fromkeys(notes)),  # the same of every axis is said once
    }


def _identity(series: Series) -> dict[str, Any]:
    names = (
        "id",
        "title",
        "task",
        "metric",
        "split",
        "stage",
        "family",
        "objective",
        "signature",
        "data_fingerprint",
        "higher_is_better",
        "floor",
        "ceiling",
        "unit",
        "length",
    )
    return {name: getattr(series, name) for name in names}


def _point(point: Point, hidden: Sequence[Point]) -> dict[str, Any]:
    return {**asdict(point), "x": dict(point.x), "held_out": point in hidden}


def _trend(series: Series, trend: Trend, visible: Trend, axis: str) -> dict[str, Any]:
    return {
        "verdict": trend.verdict,
        "sentence": trend_sentence(series, trend, visible, axis),
        "p_value": trend.p_value,
        "slope": trend.slope,
        "interval": None if trend.interval is None else list(trend.interval),
    }


def _forecast(
    series: Series,
    visible: Sequence[Point],
    hidden: Sequence[Point],
    trend: Trend,
    fitted: Sequence[Curve],
    settings: ReportSettings,
) -> tuple[dict[str, Any] | None, str | None]:
    axis = settings.x[0]
    if not hidden and trend.sizes < 2:
        return None, f"{capital(count(trend.sizes, 'size'))} cannot be forecast from; it takes two or more."
    if not hidden:
        return None, "No rung is hidden (report.holdout is 0), so there is nothing to forecast."
    if trend.verdict is None:
        return None, f"{capital(count(trend.sizes, 'size'))} to fit; a law takes three or more to be judged."
    if not trend.moves:
        sizes, p = count(trend.sizes, "size"), significant(trend.p_value, 2)
        return (
            None,
            f"The {sizes} that are not hidden show no clear trend (p = {p}), so there is no forecast.",
        )
    best = next((one for one in fitted if one.axis == axis and one.chosen), None)
    if best is None:
        return None, f"No law could be fitted against {AXIS_NAMES[axis]}."
    rungs = list(dict.fromkeys(point.rung for point in hidden))
    forecasts = [
        predict_rung(
            [point for point in hidden if point.rung == rung],
            visible,
            axis,
            law=best.fit.law,
            parameters=best.fit.parameters,
            bootstrap=best.bootstrap,
            target=target_of(series),
            level=settings.level,
        )
        for rung in rungs
    ]
    return _forecast_entry(series, forecasts, best, settings), None


def _forecast_entry(
    series: Series, forecasts: Sequence[Forecast], best: Curve, settings: ReportSettings
) -> dict[str, Any]:
    """The largest hidden rung's forecast in front, every hidden rung's in `rungs`."""
    largest = forecasts[-1]
    reach = largest.x / float(best.x.max())
    hidden = [forecast.rung for forecast in forecasts]
    sentence = forecast_sentence(series, largest, best.fit.law, settings.level, hidden, best.fit.sizes)
    if reach > FAR:
        sentence += f" This reaches {significant(reach, 2)} times beyond the largest rung fitted."
    entries = [{**asdict(forecast), "interval": list(forecast.interval)} for forecast in forecasts]
    entry = entries[-1]
    return {
        "x": best.axis,
        "held_out": hidden,
        "law": best.fit.law,
        **{name: entry[name] for name in ("predicted", "interval", "actual", "error_percent", "inside")},
        "level": settings.level,
        "reach": reach,
        "last_value": entry["last_value"],
        "log_log_line": entry["log_log_line"],
        "sentence": sentence,
        "rungs": entries,
    }


def _above_baseline(series: Series) -> list[str]:
    """Rungs better than every baseline by more than `BASELINE_ERRORS` standard errors of the difference.

    The two scores are taken as independent, which is cautious: they are of the same items. Seeds of a rung
    are averaged; they share the items, so their mean's standard error is taken to be that of one. A score or
    baseline without a standard error counts as exact.
    """
    above = []
    sign = 1 if series.higher_is_better else -1
    for rung in series.rungs if series.baselines else ():
        runs = [point for point in series.points if point.rung == rung]
        value = float(np.mean([run.value for run in runs]))
        error = float(np.mean([run.stderr or 0.0 for run in runs]))
        margins = [
            sign * (value - baseline.value) - BASELINE_ERRORS * float(np.hypot(error, baseline.stderr or 0.0))
            for baseline in series.baselines
        ]
        if min(margins) > 0:
            above.append(rung)
    return above


def _verdict(frames: Sequence[Series], series: Sequence[dict[str, Any]]) -> list[str]:
    """What the table shows, the main thing first: language modelling, its forecast and law, then tasks."""
    sentences: list[str] = []
    for one, found in zip(frames, series, strict=True):
        if one is frames[0]:
            sentences.append(steps_sentence(one, _means(one)))
            sentences.append(
                found["forecast"]["sentence"] if found["forecast"] else found["no_forecast_reason"]
            )
            sentences += _law_sentences(found)
        elif one.stage != "pretrain":
            sentences.append(found["trend"]["sentence"])
        if found["baseline_sentence"]:
            sentences.append(found["baseline_sentence"])
    return sentences


def _means(series: Series) -> list[tuple[str, float]]:
    """Each rung's value, averaged over its seeds, smallest rung first."""
    by_rung = {rung: [point.value for point in series.points if point.rung == rung] for rung in series.rungs}
    return [(rung, float(np.mean(values))) for rung, values in by_rung.items()]


def _law_sentences(found: dict[str, Any]) -> list[str]:
    sentences = []
    for entry in found["fits"]:
        if not entry["chosen"]:
            continue
        floor = None
        if "e" in entry["parameters"]:
            low, high = (significant(end, 3) for end in entry["intervals"]["e"])
            sure = "lies between" if entry["identified"] else "is not identified: the refits put it between"
            floor = f"its floor {sure} {low} and {high} {found['unit']}"
        exponent, error = entry["parameters"]["b"], entry["standard_errors"]["b"]
        sentences.append(law_sentence(entry["law"], entry["x"], exponent, error, floor))
    return sentences
