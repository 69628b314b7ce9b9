"""What a law is fitted to: the value itself, or its distance to the ceiling that it rises towards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scaling_report.frame import Series
from scaling_report.laws import Array


@dataclass(frozen=True)
class Target:
    """Laws fall to a floor, so a metric that rises to a ceiling (accuracy, BLEU) enters as ceiling - value.

    `floor` is the metric's lowest value, None where it has none.
    """

    ceiling: float | None  # None: the value enters as it is
    floor: float | None

    @property
    def symbol(self) -> str:
        """What stands for y in the formula, e.g. "1 - y"."""
        return "y" if self.ceiling is None else f"{self.ceiling:g} - y"

    def to_law(self, values: Array) -> Array:
        """Values -> what the law is fitted to. Its own inverse, so the way back is the same."""
        return values if self.ceiling is None else self.ceiling - values

    def from_law(self, fitted: Array) -> Array:
        """The law's curve -> values in the metric's unit."""
        return self.to_law(fitted)

    def band_from_law(self, band: Array) -> Array:
        """Intervals (..., 2) of the law's quantity -> intervals of the metric, kept above its floor."""
        return np.sort(
            np.maximum(self.from_law(band), -np.inf if self.floor is None else self.floor), axis=-1
        )


def target_of(series: Series) -> Target:
    """Distance to the ceiling for a bounded metric of which more is better; everything else as it is."""
    return Target(series.ceiling if series.higher_is_better else None, series.floor)
