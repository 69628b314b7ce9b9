"""Does a metric move with size at all? One test, and a sentence where the answer is no."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from scaling_report.frame import Point

ALPHA = 0.05
ROUNDING = 1e-12  # relative: values that differ by less are the same value, averaged in another order
FALLS, RISES, NO_TREND = "falls", "rises", "no trend"


@dataclass(frozen=True)
class Trend:
    """`slope` is per tenfold of the axis; all is None where fewer than three sizes leave nothing to test."""

    verdict: str | None
    sizes: int
    slope: float | None
    interval: tuple[float, float] | None
    p_value: float | None

    @property
    def moves(self) -> bool:
        """Whether there is a trend to draw a curve through."""
        return self.verdict in (FALLS, RISES)


def find_trend(points: Sequence[Point], axis: str) -> Trend:
    """Test the slope of value on log10 size, two-sided Student's t at 5 %, over the means of the rungs.

    Seeds of a rung are averaged first: they share what is peculiar to their rung, so they are not further
    evidence about size. The interval of the slope is the 95 % one that goes with the test (any text on
    regression, e.g. Draper & Smith 1998, section 1.4). Points without a place on the axis are not used.
    """
    x, y = average_by_size(points, axis)
    if x.size < 3:
        return Trend(None, x.size, None, None, None)
    if np.ptp(y) <= ROUNDING * np.abs(y).max():
        return Trend(NO_TREND, x.size, 0.0, (0.0, 0.0), 1.0)
    slope, error, p_value = measure_slope(np.log10(x), y)
    width = float(stdtrit(x.size - 2, 1 - ALPHA / 2)) * error
    verdict = NO_TREND if p_value >= ALPHA else RISES if slope > 0 else FALLS
    return Trend(verdict, x.size, slope, (slope - width, slope + width), p_value)


def measure_slope(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """The least-squares slope of y on x (n,), n > 2, its standard error, and p of there being none."""
    away = x - x.mean()
    slope = float(away @ y / (away @ away))
    residuals = y - y.mean() - slope * away
    dof = x.size - 2
    error = float(np.sqrt(residuals @ residuals / dof / (away @ away)))
    return slope, error, _two_sided(slope, error, dof)


def average_by_size(points: Sequence[Point], axis: str) -> tuple[np.ndarray, np.ndarray]:
    """Distinct sizes in rising order and the mean value at each, both (sizes,)."""
    placed = [(size, point.value) for point in points if (size := point.x[axis]) is not None]
    sizes = sorted({size for size, _ in placed})
    means = [np.mean([value for place, value in placed if place == size]) for size in sizes]
    return np.array(sizes, dtype=float), np.array(means, dtype=float)


def _two_sided(slope: float, error: float, dof: int) -> float:
    return 0.0 if error == 0 else float(2 * stdtr(dof, -abs(slope) / error))
