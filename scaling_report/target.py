"""What a law is fitted to: the value itself, or how far a bounded metric still is from its ceiling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scaling_report.frame import Series
from scaling_report.laws import Array


@dataclass(frozen=True)
class Target:
    """Laws fall to a floor, so a metric that rises to a ceiling (accuracy, BLEU) enters by what it lacks.

    Without `chance` that is the distance, ceiling - value. With it, what a model of no size scores, it is the
    odds (ceiling - value) / (value - chance): a power law of them is a straight line in log-odds, which stays
    between chance and ceiling at every size. `floor` is the metric's lowest value, None where it has none.
    """

    ceiling: float | None  # None: the value enters as it is
    floor: float | None
    chance: float | None = None

    @property
    def symbol(self) -> str:
        """What stands for y in the formula, e.g. "1 - y"."""
        if self.ceiling is None:
            return "y"
        distance = f"{self.ceiling:g} - y"
        if self.chance is None:
            return distance
        return f"({distance})/{'y' if self.chance == 0 else f'(y - {self.chance:.3g})'}"

    def to_law(self, values: Array) -> Array:
        """Values -> what the law is fitted to; at or below zero where no law can be fitted."""
        if self.ceiling is None:
            return values
        if self.chance is None:
            return self.ceiling - values
        above = values - self.chance
        return np.where(above > 0, (self.ceiling - values) / np.where(above > 0, above, 1.0), -1.0)

    def from_law(self, fitted: Array) -> Array:
        """The law's curve -> values in the metric's unit."""
        if self.ceiling is None:
            return fitted
        if self.chance is None:
            return self.ceiling - fitted
        return self.chance + (self.ceiling - self.chance) / (1 + fitted)

    def band_from_law(self, band: Array) -> Array:
        """Intervals (..., 2) of the law's quantity -> intervals of the metric, kept above its floor."""
        return np.sort(
            np.maximum(self.from_law(band), -np.inf if self.floor is None else self.floor), axis=-1
        )

    def miss(self, predicted: Array, measured: Array) -> float:
        """How far the law's `predicted` (1,) is from the mean of `measured` (runs,), both the law's quantity.

        Of a bounded metric in its own unit, so that different targets of one metric can be compared; of any
        other the difference of logarithms.
        """
        if self.ceiling is None:
            return abs(float(np.log(predicted[0]) - np.log(measured).mean()))
        return abs(float(self.from_law(predicted)[0] - self.from_law(measured).mean()))


def targets_of(series: Series) -> tuple[Target, ...]:
    """What laws of a series may be fitted to, the simplest first.

    A bounded metric of which more is better: its distance to the ceiling, and its odds over chance, which is
    the best of its baselines, or else its floor. Everything else: the value as it is.
    """
    if series.ceiling is None or not series.higher_is_better:
        return (Target(None, series.floor),)
    known = [baseline.value for baseline in series.baselines if baseline.value < series.ceiling]
    chance = max(known) if known else series.floor
    distance = Target(series.ceiling, series.floor)
    return (distance,) if chance is None else (distance, Target(series.ceiling, series.floor, chance))
