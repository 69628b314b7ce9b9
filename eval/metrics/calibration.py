"""Expected calibration error: how far confidence lies from the share of right answers (Guo 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.metrics.base import Array, SumMetric, check_pairs

BINS = 15  # Guo 2017, section 5


@dataclass(frozen=True, kw_only=True)
class CalibrationError(SumMetric):
    """Statistics are, in the column of the item's bin of confidence, right minus confidence; last, one.

    The bins are the 15 intervals (0, 1/15], …, (14/15, 1]; 0 belongs to the first. The value is
    Σ_bins |Σ (right − confidence)| / items, equation 3 of Guo 2017.
    """

    name: str = "calibration_error"

    def statistics(
        self,
        predictions: Sequence[float] | NDArray[np.float64],
        references: Sequence[bool] | NDArray[np.bool_],
    ) -> Array:
        """(items, 16) from the probability given to the predicted class, and whether it was right."""
        check_pairs(predictions, references)
        confidences, right = np.asarray(predictions, np.float64), np.asarray(references, np.float64)
        if not ((confidences >= 0) & (confidences <= 1)).all():
            raise ValueError("calibration_error: a confidence is no probability; give numbers in 0–1")
        bins = np.clip(np.ceil(confidences * BINS).astype(int) - 1, 0, BINS - 1)
        rows = np.zeros((len(confidences), BINS + 1))
        rows[np.arange(len(confidences)), bins] = right - confidences
        rows[:, BINS] = 1
        return rows

    def aggregate(self, sums: Array) -> Array:
        """The mean distance, in 0–1."""
        sums = np.asarray(sums, dtype=np.float64)
        return np.asarray(np.abs(sums[..., :BINS]).sum(axis=-1) / sums[..., BINS])

    def signature(self) -> str:
        """The bins."""
        return f"{self.name}|bins:{BINS} of equal width"
