"""Hide the largest rungs, predict them from the others, and compare with forecasters that know no law."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scaling_report.fits import fit_many
from scaling_report.frame import Point, Series
from scaling_report.laws import CURVES, LAWS, Array
from scaling_report.target import Target
from scaling_report.trend import average_by_size
from scaling_report.uncertainty import Bootstrap, share_weights


@dataclass(frozen=True)
class Guess:
    """A value predicted for a rung, and its error, above zero where too high. None where impossible."""

    predicted: float | None
    error_percent: float | None


@dataclass(frozen=True)
class Forecast:
    """One hidden rung, predicted and measured. `runs` of it were averaged into `actual`."""

    rung: str
    x: float
    runs: int
    predicted: float
    interval: tuple[float, float]
    actual: float
    error_percent: float | None
    inside: bool
    last_value: Guess
    log_log_line: Guess


def hide_largest(series: Series, holdout: int, axis: str) -> tuple[tuple[Point, ...], tuple[Point, ...]]:
    """Split a series into what fits may see and the `holdout` largest rungs; values play no part.

    The smallest rung is never hidden: what is measured alone is no forecast.
    """
    largest: dict[str, float] = {}
    for point in series.points:
        largest[point.rung] = max(largest.get(point.rung, 0.0), point.x[axis] or 0.0)
    ordered = sorted(largest, key=lambda rung: largest[rung])
    hidden = set(ordered[len(ordered) - min(holdout, len(ordered) - 1) :])
    return (
        tuple(point for point in series.points if point.rung not in hidden),
        tuple(point for point in series.points if point.rung in hidden),
    )


def backtest(law: str, x: Array, y: Array) -> dict[float, float]:
    """|ln error| of the law at each size that enough smaller ones precede, fitted to those alone."""
    sizes = np.unique(x)
    errors = {}
    for size in sizes[LAWS[law].sizes_needed :]:
        seen = x < size
        solution = fit_many(LAWS[law], x[seen], y[None, seen], weights=share_weights(x[seen])[None])
        predicted = solution.predict(np.array([size]))[0, 0]
        errors[float(size)] = abs(float(np.log(predicted) - np.log(y[x == size]).mean()))
    return errors


def choose_law(x: Array, y: Array, laws: Sequence[str] = CURVES) -> str | None:
    """The law that forecast best within the data it may see, judged where every candidate could forecast.

    A law is a candidate when the sizes suffice for it; a law with more parameters must win a backtest to be
    chosen, so where none is possible the simplest stands. None when the sizes suffice for no law.
    """
    sizes = np.unique(x).size
    able = sorted(
        (law for law in laws if sizes >= LAWS[law].sizes_needed), key=lambda law: len(LAWS[law].parameters)
    )
    if not able:
        return None
    errors = {law: backtest(law, x, y) for law in able}
    shared = set.intersection(*(set(found) for found in errors.values()))
    if not shared:
        return able[0]
    return min(able, key=lambda law: float(np.mean([errors[law][size] for size in shared])))


def predict_rung(
    hidden: Sequence[Point],
    visible: Sequence[Point],
    axis: str,
    *,
    law: str,
    parameters: Mapping[str, float],
    bootstrap: Bootstrap,
    target: Target,
    level: float,
) -> Forecast:
    """Predict one hidden rung (its runs are `hidden`, all of one size) by a fit made without it."""
    x = hidden[0].x[axis]
    assert x is not None
    actual = float(np.mean([point.value for point in hidden]))
    at = np.array([x])
    predicted = float(target.from_law(LAWS[law].curve(at, **parameters))[0])
    low, high = target.band_from_law(bootstrap.prediction(at, level, runs=len(hidden)))[0].tolist()
    return Forecast(
        rung=hidden[0].rung,
        x=x,
        runs=len(hidden),
        predicted=predicted,
        interval=(low, high),
        actual=actual,
        error_percent=_error_percent(predicted, actual),
        inside=low <= actual <= high,
        last_value=_guess(last_value(visible, axis), actual),
        log_log_line=_guess(log_log_line(visible, axis, x), actual),
    )


def last_value(visible: Sequence[Point], axis: str) -> float:
    """The naive forecast that nothing changes: the mean of the largest rung in sight."""
    return float(average_by_size(visible, axis)[1][-1])


def log_log_line(visible: Sequence[Point], axis: str, x: float) -> float | None:
    """The naive straight line: least squares of ln value on ln size over the means of the rungs in sight.

    None where a value is not above zero or there is one size only.
    """
    sizes, values = average_by_size(visible, axis)
    if sizes.size < 2 or (values <= 0).any():
        return None
    slope, level = np.polyfit(np.log(sizes), np.log(values), 1)
    return float(np.exp(level + slope * np.log(x)))


def _guess(predicted: float | None, actual: float) -> Guess:
    return Guess(predicted, None if predicted is None else _error_percent(predicted, actual))


def _error_percent(predicted: float, actual: float) -> float | None:
    """Signed, in per cent of the measured value; None where that is zero."""
    return None if actual == 0 else 100 * (predicted - actual) / abs(actual)
