"""Results -> everything the report says, as one JSON-able value: the content of `laws.json`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from eval.results import Result
from scaling_report.backtests import backtest_series, predict_hidden
from scaling_report.curves import Curve, curve_entry, fit_axis
from scaling_report.expectations import find_surprises
from scaling_report.families import compare_families
from scaling_report.forecast import hide_largest
from scaling_report.frame import Point, Series, from_results
from scaling_report.loss_to_task import loss_to_task
from scaling_report.notation import significant
from scaling_report.off_trend import find_off_trend
from scaling_report.optimal.report import analyse_optimal
from scaling_report.optimal.words import doubted_sentences
from scaling_report.outlook import look_ahead
from scaling_report.overlays import overlay_entries
from scaling_report.settings import ReportSettings
from scaling_report.surfaces import fit_surfaces
from scaling_report.trend import ALPHA, FALLS, RISES, Trend, find_trend
from scaling_report.wording import (
    BASELINE_ERRORS,
    baseline_sentence,
    law_sentence,
    steps_sentence,
    trend_sentence,
)

FORMAT = 1
MOVES = (RISES, FALLS)


def analyse(
    results: Iterable[Result],
    settings: ReportSettings,
    run: Mapping[str, Any] | None = None,
    *,
    by_run: bool = False,
) -> dict[str, Any]:
    """Fit, forecast and judge every metric of a table of results.

    The value has the keys format, run, settings, series, surfaces, compute_optimal and comparisons (each
    with the reason why there is none), overlays, loss_to_task, verdict (sentences) and left_out. With
    `by_run`, results of different runs are kept apart. Only the `outlook`, surfaces, compute_optimal and
    comparisons see the hidden rungs. `run`, run.json's content, may say why a rung is off the trend. No NaN
    stands in it, and None comes with its reason beside it. Errors are signed, in per cent of the measured
    value. The same results and settings give the same value. Raises `InputError` for a table that
    contradicts itself.
    """
    results = list(results)
    frame = from_results(results, settings.x[0], by_run=by_run)
    series = [_analyse_series(one, settings, run) for one in frame.series]
    surfaces, no_surface = fit_surfaces(frame, settings)
    optimal, no_optimal = analyse_optimal(frame, settings)
    compared = compare_families(frame.series, settings)
    overlays = overlay_entries(settings, frame.series)
    not_drawn = [
        {"what": one["title"], "reason": one["not_drawn_reason"]} for one in overlays if not one["drawn_over"]
    ]
    of_data = _of_data(surfaces, optimal, no_optimal or no_surface)
    runs = sorted({result.run for result in results if result.run is not None})
    return {
        "format": FORMAT,
        "run": ", ".join(runs) or None,
        "settings": settings.model_dump(mode="json"),
        "series": series,
        "surfaces": surfaces,
        "no_surface_reason": no_surface,
        "compute_optimal": optimal,
        "no_compute_optimal_reason": no_optimal,
        **compared,
        "overlays": overlays,
        "verdict": [
            *(of_data if led_by_data(series, optimal) else []),
            *_verdict(frame.series, series),
            *([] if led_by_data(series, optimal) else of_data),
            *(one["sentences"][0] for one in compared["comparisons"] if one["p_holm"] < ALPHA),
        ]
        if series
        else [],
        "loss_to_task": loss_to_task(series),
        "left_out": [*(dict(vars(entry)) for entry in frame.left_out), *not_drawn],
    }


def _analyse_series(
    series: Series, settings: ReportSettings, run: Mapping[str, Any] | None
) -> dict[str, Any]:
    axis = settings.x[0]
    visible, hidden = hide_largest(series, settings.holdout, axis)
    trend, visible_trend = find_trend(series.points, axis), find_trend(visible, axis)
    notes: list[str] = []
    fitted: list[Curve] = []
    if visible_trend.moves:
        for name in settings.x:
            found, said = fit_axis(series, visible, name, settings)
            fitted += found
            notes += said
    backtests = backtest_series(series, settings, fitted)
    asked = next((one for one in backtests if one["hide"] == settings.holdout), None)
    forecast, no_forecast = (
        (asked["forecast"], asked["no_forecast_reason"])
        if asked
        else predict_hidden(series, 0, settings, fitted)
    )
    above = _above_baseline(series)
    fits = [curve_entry(one, series, settings) for one in fitted]
    return {
        **_identity(series),
        "points": [_point(point, hidden) for point in series.points],
        "baselines": [asdict(baseline) for baseline in series.baselines],
        "above_baseline": above,
        "baseline_sentence": baseline_sentence(series, above) if series.baselines else None,
        "trend": _trend(series, trend, visible_trend, axis),
        "fits": fits,
        "forecast": forecast,
        "no_forecast_reason": no_forecast,
        "backtests": backtests,
        "outlook": look_ahead(series, settings, backtests, _latencies(series, axis)),
        "off_trend": find_off_trend(series, settings, run) if trend.moves else [],
        "surprises": find_surprises(series, trend, fits, axis),
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
        "run",
        "apart",
    )
    return {name: getattr(series, name) for name in names}


def _point(point: Point, hidden: Sequence[Point]) -> dict[str, Any]:
    entry = {**asdict(point), "x": dict(point.x), "held_out": point in hidden}
    del entry["seconds"]  # the same results are the same report, however long they took
    return entry


def _latencies(series: Series, axis: str) -> dict[float, float]:
    """Seconds an item took, by size: the quickest run of each, which others disturbed least."""
    timed: dict[float, float] = {}
    for point in series.points:
        size = point.x[axis]
        if size and point.seconds and point.n:
            timed[size] = min(timed.get(size, float("inf")), point.seconds / point.n)
    return timed


def _trend(series: Series, trend: Trend, visible: Trend, axis: str) -> dict[str, Any]:
    return {
        "verdict": trend.verdict,
        "sentence": trend_sentence(series, trend, visible, axis),
        "p_value": trend.p_value,
        "slope": trend.slope,
        "interval": None if trend.interval is None else list(trend.interval),
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
        ahead = found["outlook"].get("sentences", [])
        if one is frames[0]:
            sentences.append(steps_sentence(one, _means(one)))
            sentences.append(
                found["forecast"]["sentence"] if found["forecast"] else found["no_forecast_reason"]
            )
            sentences += [*ahead, *found["surprises"], *_law_sentences(found)]
        elif one.stage != "pretrain":
            sentences += [found["trend"]["sentence"], *ahead[:1], *ahead[2:]]
        elif found["outlook"].get("target"):
            sentences.append(found["outlook"]["target"]["sentence"])
        if found["baseline_sentence"]:
            sentences.append(found["baseline_sentence"])
    return sentences + _off_trend(series)


def led_by_data(series: Sequence[Mapping[str, Any]], optimal: Sequence[Mapping[str, Any]]) -> bool:
    """Whether what size and data do together is the main thing: at one budget alone size shows no trend."""
    known = any(one["exponent_n"] is not None for one in optimal[0]["approaches"]) if optimal else False
    return bool(known and series and series[0]["length"] and series[0]["trend"]["verdict"] not in MOVES)


def _of_data(
    surfaces: Sequence[Mapping[str, Any]], optimal: Sequence[Mapping[str, Any]], reason: str | None
) -> list[str]:
    """What the runs of several lengths show together, or why there is nothing."""
    told = doubted_sentences(optimal[0]) if optimal else []
    told += [one["sentence"] for one in surfaces[0]["backtests"][::-1]] if surfaces else []
    told += surfaces[0]["sentences"] if surfaces else []
    return list(dict.fromkeys(told)) or ([reason] if reason else [])


def _off_trend(series: Sequence[Mapping[str, Any]]) -> list[str]:
    """Each rung that is off the trend once a task: what one metric shows, its others repeat."""
    told: dict[tuple[str, str, str], str] = {}
    for one in series:
        for entry in one["off_trend"]:
            told.setdefault((one["stage"], one["task"], entry["rung"]), entry["sentence"])
    return list(told.values())


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
        sentences.append(law_sentence(entry["name"], entry["x"], exponent, error, floor))
    return sentences
