"""Matthews correlation of predicted and true classes, two or more (Gorodkin 2004)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eval.metrics.base import Array, SumMetric, check_pairs, safe_divide
from eval.metrics.f1_labels import one_hot


@dataclass(frozen=True, kw_only=True)
class Matthews(SumMetric):
    """Statistics are (right, 1), then one-hot predictions, then one-hot references.

    With c right of s items, p_k predictions and t_k references of class k:
    (c·s − Σ p_k·t_k) / sqrt((s² − Σ p_k²)(s² − Σ t_k²)), Gorodkin's R_K (his equation 8, as counts). 0 where
    only one class is predicted or there, as in scikit-learn: such answers say nothing.
    """

    name: str = "mcc"
    labels: tuple[str, ...]

    def statistics(self, predictions: Sequence[str], references: Sequence[str]) -> Array:
        """(items, 2 + 2 * classes) from one label an item."""
        check_pairs(predictions, references)
        predicted, true = one_hot(self.labels, predictions), one_hot(self.labels, references)
        right = (predicted * true).sum(axis=1)
        return np.column_stack([right, np.ones(len(right)), predicted, true])

    def aggregate(self, sums: Array) -> Array:
        """The correlation, in −1–1."""
        sums = np.asarray(sums, dtype=np.float64)
        right, items = sums[..., 0], sums[..., 1]
        predicted, true = np.split(sums[..., 2:], 2, axis=-1)
        covariance = right * items - (predicted * true).sum(axis=-1)
        variances = (items**2 - (predicted**2).sum(axis=-1)) * (items**2 - (true**2).sum(axis=-1))
        return safe_divide(covariance, np.sqrt(np.maximum(variances, 0)))

    def signature(self) -> str:
        """The number of classes."""
        return f"{self.name}|classes:{len(self.labels)}"
