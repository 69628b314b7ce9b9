"""Hide the largest rungs, predict them from the others, and compare with forecasters that know no law."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scaling_report.fits import fit_many
from scaling_report.frame import Point, Series
from scaling_report.laws import LAWS, Array
from scaling_report.target import Target
from scaling_report.trend import average_by_size
from scaling_report.uncertainty import Bootstrap, share_weights

# to every metric: what has more parameters wants more sizes than ladders have
FITTED = ("power", "power-floor")
NOTHING = 1e-7  # of a backtest's error: rounding wins no law its parameter


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


@dataclass(frozen=True)
class Candidate:
    """A law that a metric may follow on an axis: which, of what, and the points (n,) to fit it to."""

    law: str
    target: Target
    x: Array
    y: Array
    error: Array | None = None  # standard errors of y, where all are known

    @property
    def sizes(self) -> int:
        """Distinct sizes there are to fit."""
        return int(np.unique(self.x).size)

    @property
    def able(self) -> bool:
        """Whether they suffice for the law."""
        return self.sizes >= LAWS[self.law].sizes_needed


def backtest(candidate: Candidate) -> dict[float, float]:
    """How far the law is off (`Target.miss`) at each size that enough smaller ones precede."""
    law, x, y = LAWS[candidate.law], candidate.x, candidate.y
    sizes = np.unique(x)[law.sizes_needed :]
    if not sizes.size:
        return {}
    seen = x < sizes[:, None]  # (sizes, n): what each of the fits may see; the rest weighs nothing
    found = fit_many(law, x, np.broadcast_to(y, seen.shape), weights=share_weights(x) * seen)
    predicted = np.diagonal(found.predict(sizes))
    return {
        float(size): candidate.target.miss(predicted[i : i + 1], y[x == size]) for i, size in enumerate(sizes)
    }


def choose_law(candidates: Sequence[Candidate]) -> Candidate | None:
    """The candidate that forecast best within the data it may see, judged where all of them could forecast.

    One with more parameters must win a backtest to be chosen, so where none is possible the simplest stands.
    None when the sizes suffice for no law.
    """
    able = sorted((one for one in candidates if one.able), key=lambda one: len(LAWS[one.law].parameters))
    if not able:
        return None
    errors = [backtest(one) for one in able]
    shared = set.intersection(*(set(found) for found in errors))
    if not shared:
        return able[0]
    means = [float(np.mean([found[size] for size in shared])) for found in errors]
    best = 0
    for place, mean in enumerate(means):
        if mean < means[best] - NOTHING:
            best = place
    return able[best]


def choose_curve(x: Array, y: Array) -> str | None:
    """The same for y as it is, (n,): the name of the law."""
    found = choose_law([Candidate(law, Target(None, None), x, y) for law in FITTED])
    return None if found is None else found.law


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
