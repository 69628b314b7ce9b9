"""Accuracy: the share of items whose predicted label is the right one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eval.metrics.base import Array, check_pairs


@dataclass(frozen=True)
class Accuracy:
    """Statistics (right, 1); its ratio error is the binomial one, sqrt(p(1-p)/(n-1))."""

    name: str = "accuracy"
    is_ratio: bool = True

    def statistics(self, predictions: Sequence[str], references: Sequence[str]) -> Array:
        """(items, 2): whether the item is right, and one."""
        check_pairs(predictions, references)
        right = [float(a == b) for a, b in zip(predictions, references, strict=True)]
        return np.column_stack([right, np.ones(len(right))])

    def aggregate(self, sums: Array) -> Array:
        """Right items over items."""
        return np.asarray(sums[..., 0] / sums[..., 1])

    def signature(self) -> str:
        """Accuracy has no settings."""
        return "accuracy"
