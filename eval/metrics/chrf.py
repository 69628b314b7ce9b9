"""chrF (Popović 2015) as sacreBLEU computes it: F2 over character 1- to 6-grams, white space left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from eval.metrics.base import Array, safe_divide
from eval.metrics.sacre import SacreMetric


@dataclass(frozen=True, kw_only=True)
class Chrf(SacreMetric):
    """18 statistics a segment: predicted, reference and shared n-grams of each order; of several references
    the one that the segment scores best against.
    """

    name: str = "chrf"

    def tokens(self, text: str) -> list[str]:
        """Characters without white space."""
        return list("".join(text.split()))

    def aggregate(self, sums: Array) -> Array:
        """The corpus score, in points: F2 of precision and recall, each the mean over orders both have."""
        sums = np.asarray(sums, dtype=np.float64)
        predicted, true, shared = sums[..., 0::3], sums[..., 1::3], sums[..., 2::3]
        counted = (predicted > 0) & (true > 0)
        orders = counted.sum(axis=-1)
        precision = safe_divide(np.where(counted, safe_divide(shared, predicted), 0).sum(axis=-1), orders)
        recall = safe_divide(np.where(counted, safe_divide(shared, true), 0).sum(axis=-1), orders)
        return 100 * safe_divide(5 * precision * recall, 4 * precision + recall)

    def _make_scorer(self) -> Any:
        from sacrebleu.metrics.chrf import CHRF

        return CHRF()
