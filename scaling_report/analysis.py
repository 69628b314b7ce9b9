"""Results -> everything the report says, as one JSON-able value: the content of `laws.json`."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from eval.results import Result
from scaling_report.fit import FitResult, fit
from scaling_report.forecast import Forecast, choose_law, hide_largest, predict_rung
from scaling_report.frame import Point, Series, from_results
from scaling_report.laws import LAWS, Array
from scaling_report.settings import ReportSettings
from scaling_report.target import Target, target_of
from scaling_report.trend import Trend, find_trend
from scaling_report.uncertainty import Bootstrap, measure_scatter, resample
from scaling_report.wording import (
    AXIS_NAMES,
    baseline_sentence,
    capital,
    count,
    forecast_sentence,
    law_sentence,
    listed,
    number,
    per_cent,
    quantity,
    steps_sentence,
    trend_sentence,
)

FORMAT = 1
GRID_POINTS = 60
GRID_REACH = 1.5  # the curve is drawn to this multiple of the largest size
FAR = 3.0  # extrapolation beyond this multiple of the largest fitted size is said to be one
BASELINE_ERRORS = 2.0  # standard errors of the difference that a rung must be better by
DISAGREEMENT = 0.01  # relative difference of the two opinions that is worth a note
FAILED_SHARE = 0.1  # of refits: beyond it the bands are not to be trusted


@dataclass(frozen=True)
class _Fitted:
    """One law on one axis: what the fit saw, what it found, how sure it is."""

    axis: str
    x: Array
    y: Array
    fit: FitResult
    bootstrap: Bootstrap
    chosen: bool


def analyse(results: Iterable[Result], settings: ReportSettings) -> dict[str, Any]:
    """Fit, forecast and judge every metric of a table of results.

    The value has the keys format, run, settings, series, verdict, left_out; see docs for each. No NaN stands in it,
    and None comes with its reason beside it. The same results and settings give the same value.
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
        "left_out": [asdict(entry) for entry in frame.left_out],
    }


def _analyse_series(series: Series, settings: ReportSettings) -> dict[str, Any]:
    axis = settings.x[0]
    target = target_of(series)
    visible, hidden = hide_largest(series, settings.holdout, axis)
    trend, visible_trend = find_trend(series.points, axis), find_trend(visible, axis)
    notes: list[str] = []
    fitted: list[_Fitted] = []
    if visible_trend.moves:
        for name in settings.x:
            found, said = _fit_axis(series.id, visible, name, target, settings)
            fitted += found
            notes += said
    forecasts, no_forecast = _forecast(series, visible, hidden, visible_trend, fitted, settings)
    above = _above_baseline(series)
    return {
        **_identity(series),
        "points": [_point(point, hidden) for point in series.points],
        "baselines": [asdict(baseline) for baseline in series.baselines],
        "above_baseline": above,
        "baseline_sentence": baseline_sentence(series, above, BASELINE_ERRORS) if series.baselines else None,
        "trend": _trend(series, trend, visible_trend, axis),
        "fits": [_fit_entry(one, series, target, settings) for one in fitted],
        "forecast": forecasts,
        "no_forecast_reason": no_forecast,
        "notes": notes,
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


def _fit_axis(
    series_id: str, visible: Sequence[Point], axis: str, target: Target, settings: ReportSettings
) -> tuple[list[_Fitted], list[str]]:
    """Every law that the visible runs suffice for, on one axis, and in words what they do not suffice for."""
    x, y, notes = _law_data(visible, axis, target)
    sizes = np.unique(x).size
    if sizes < 2:
        return [], [*notes, f"No law is fitted against {AXIS_NAMES[axis]}: {count(sizes, 'size')} to fit."]
    chosen = choose_law(x, y)
    fitted = []
    for name, law in LAWS.items():
        if sizes < law.sizes_needed:
            notes.append(
                f"Against {AXIS_NAMES[axis]} the law {law.formula} is not identified: its"
                f" {count(len(law.parameters), 'parameter')} need {count(law.sizes_needed, 'size')} or more to fit,"
                f" and there {'are' if sizes > 1 else 'is'} {count(sizes, 'size')}."
            )
            continue
        found = fit(name, x, y)
        # each fit has its own seed, so a metric more or less leaves the other bands as they are
        seed = zlib.crc32(f"{settings.seed} {series_id} {axis} {name}".encode())
        bootstrap = resample(found, x, y, replicates=settings.bootstrap, seed=seed)
        fitted.append(_Fitted(axis, x, y, found, bootstrap, name == chosen))
    return fitted, notes


def _law_data(points: Sequence[Point], axis: str, target: Target) -> tuple[Array, Array, list[str]]:
    """x and the law's y (n,) of the points that can be fitted, and what cannot."""
    usable = []
    notes = []
    for point in points:
        size, y = point.x[axis], float(target.to_law(np.array(point.value)))
        if size is None:
            notes.append(f"{point.rung} has no {AXIS_NAMES[axis]} in its result, so no fit against them uses it.")
        elif y <= 0:
            notes.append(f"{point.rung} is not fitted: {target.symbol} is {number(y)}, and a law needs it above zero.")
        else:
            usable.append((size, y))
    x, y = np.array(usable, dtype=float).reshape(-1, 2).T
    return x, y, notes


def _fit_entry(one: _Fitted, series: Series, target: Target, settings: ReportSettings) -> dict[str, Any]:
    law = LAWS[one.fit.law]
    scatter = measure_scatter(one.fit, one.x)
    notes = _fit_notes(one, target, settings)
    intervals = one.bootstrap.interval(settings.level)
    return {
        "x": one.axis,
        "law": law.name,
        "formula": law.formula.replace("y", target.symbol, 1),
        "source": law.source,
        "chosen": one.chosen,
        "parameters": dict(one.fit.parameters),
        "standard_errors": one.bootstrap.standard_errors(),
        "intervals": {name: list(interval) for name, interval in intervals.items()},
        "second_opinion": dict(one.fit.second_opinion),
        "n": one.fit.n,
        "sizes": one.fit.sizes,
        "objective": one.fit.objective,
        "scatter": asdict(scatter),
        "converged": one.fit.converged,
        "at_bound": list(one.fit.at_bound),
        "identified": not _loose(one, settings) and one.fit.identified,
        "notes": notes,
        "grid": _grid(one, series, target, settings.level),
        "bootstrap": {
            "kind": one.bootstrap.kind,
            "replicates": one.bootstrap.replicates,
            "failed": one.bootstrap.failed,
        },
    }


def _loose(one: _Fitted, settings: ReportSettings) -> list[str]:
    """Parameters whose interval reaches the edge of what is allowed."""
    tail = (1 - settings.level) / 2
    return [name for name, share in one.bootstrap.share_at_bound().items() if share > tail]


def _fit_notes(one: _Fitted, target: Target, settings: ReportSettings) -> list[str]:
    scatter = measure_scatter(one.fit, one.x)
    notes = [f"Single runs scatter by {per_cent(100 * scatter.log_sd)} of {target.symbol} around the curve."]
    if scatter.between_seeds is not None:
        notes.append(f"Seeds of the same rung differ by {per_cent(100 * scatter.between_seeds)} (standard deviation).")
    loose = _loose(one, settings)
    if "e" in loose:
        notes.append(
            f"The floor e is not identified: {per_cent(100 * one.bootstrap.share_at_bound()['e'])} of the refits put it"
            " at zero. The curve within reach of the data may still be good."
        )
    for name in loose:
        if name != "e":
            notes.append(f"The parameter {name} is not identified: its interval reaches the edge of what is allowed.")
    end = np.array([one.x.max() * FAR])
    other = LAWS[one.fit.law].curve(end, **one.fit.second_opinion)
    if (gap := abs(float(other[0] / one.fit.predict(end)[0] - 1))) > DISAGREEMENT:
        notes.append(f"Plain least squares ends {per_cent(100 * gap)} away at {FAR:g} times the largest fitted size.")
    if not one.fit.converged:
        notes.append("The solver did not arrive; take the parameters as a sketch.")
    if one.bootstrap.failed > FAILED_SHARE * one.bootstrap.replicates:
        notes.append(f"{one.bootstrap.failed} of {one.bootstrap.replicates} refits failed; the bands are too narrow.")
    return notes


def _grid(one: _Fitted, series: Series, target: Target, level: float) -> dict[str, Any]:
    sizes = [size for point in series.points if (size := point.x[one.axis]) is not None]
    x = np.geomspace(min(sizes), max(sizes) * GRID_REACH, GRID_POINTS)
    return {
        "x": _rounded(x),
        "fit": _rounded(target.from_law(one.fit.predict(x))),
        "confidence": _rounded(target.band_from_law(one.bootstrap.confidence(x, level))),
        "prediction": _rounded(target.band_from_law(one.bootstrap.prediction(x, level))),
    }


def _rounded(values: Array) -> list[Any]:
    """Six significant digits: what a chart can show, at a third of the file's size."""
    return [_rounded(value) if np.ndim(value) else float(f"{value:.6g}") for value in values]


def _forecast(
    series: Series,
    visible: Sequence[Point],
    hidden: Sequence[Point],
    trend: Trend,
    fitted: Sequence[_Fitted],
    settings: ReportSettings,
) -> tuple[dict[str, Any] | None, str | None]:
    axis = settings.x[0]
    if not hidden:
        return None, "No rung is hidden (report.holdout is 0), so there is nothing to forecast."
    if not visible:
        return None, "Every rung is hidden (report.holdout), so there is nothing to forecast from."
    if trend.verdict is None:
        return None, f"{capital(count(trend.sizes, 'size'))} to fit: three are the least that a law can be judged by."
    if not trend.moves:
        return None, "The rungs that are not hidden show no trend, so there is no curve to forecast with."
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
    series: Series, forecasts: Sequence[Forecast], best: _Fitted, settings: ReportSettings
) -> dict[str, Any]:
    """The largest hidden rung's forecast in front, every hidden rung's in `rungs`."""
    largest = forecasts[-1]
    reach = largest.x / float(best.x.max())
    sentence = forecast_sentence(series, largest, best.fit.law, settings.level, best.fit.sizes)
    if reach > FAR:
        sentence += f" This reaches {number(reach, 2)} times beyond the largest rung fitted."
    entry = asdict(largest)
    return {
        "x": best.axis,
        "held_out": [forecast.rung for forecast in forecasts],
        "law": best.fit.law,
        **{name: entry[name] for name in ("predicted", "interval", "actual", "error_percent", "inside")},
        "level": settings.level,
        "reach": reach,
        "last_value": entry["last_value"],
        "log_log_line": entry["log_log_line"],
        "sentence": sentence,
        "rungs": [asdict(forecast) for forecast in forecasts],
    }


def _above_baseline(series: Series) -> list[str]:
    """Rungs better than every baseline by more than `BASELINE_ERRORS` standard errors of the difference.

    The two scores are taken as independent, which is cautious: they are of the same items. Seeds of a rung are
    averaged; they share the items, so their mean's standard error is taken to be that of one. A score or baseline
    without a standard error counts as exact.
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
    """What the table shows, most important first: the language modelling loss, its forecast, its law, then the tasks."""
    sentences: list[str] = []
    for one, found in zip(frames, series, strict=True):
        if one is frames[0] or (one.stage == "pretrain" and one.metric == "bits_per_byte" and one.split == "test"):
            sentences.append(steps_sentence(one, _means(one)))
            sentences.append(found["forecast"]["sentence"] if found["forecast"] else found["no_forecast_reason"])
            sentences += _law_sentences(found)
        elif one.stage != "pretrain":
            sentences.append(found["trend"]["sentence"])
            if found["baseline_sentence"]:
                sentences.append(found["baseline_sentence"])
    return list(dict.fromkeys(sentences))


def _means(series: Series) -> list[tuple[str, float]]:
    return [
        (rung, float(np.mean([point.value for point in series.points if point.rung == rung]))) for rung in series.rungs
    ]


def _law_sentences(found: dict[str, Any]) -> list[str]:
    sentences = []
    for entry in found["fits"]:
        if not entry["chosen"]:
            continue
        floor = None
        if "e" in entry["parameters"]:
            low, high = entry["intervals"]["e"]
            floor = f"its floor lies between {number(low, 3)} and {number(high, 3)} {found['unit']}"
        sentences.append(
            law_sentence(
                entry["law"], entry["x"], entry["parameters"]["b"], entry["standard_errors"]["b"], floor
            )
        )
    return sentences
