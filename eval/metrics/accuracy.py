"""Accuracy: the share of items whose predicted label, choice or word is the right one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eval.metrics.base import Array, RatioMetric, check_pairs


@dataclass(frozen=True, kw_only=True)
class Accuracy(RatioMetric):
    """Statistics (right, 1); its error is the binomial one, sqrt(p(1-p)/(n-1)).

    `accuracy_norm` is the same share of choices made by likelihood a character; whoever chooses divides.
    """

    name: str = "accuracy"

    def statistics(self, predictions: Sequence[Any], references: Sequence[Any]) -> Array:
        """(items, 2): whether the item is right, and one."""
        check_pairs(predictions, references)
        right = [float(a == b) for a, b in zip(predictions, references, strict=True)]
        return np.column_stack([right, np.ones(len(right))])

    def signature(self) -> str:
        """Accuracy has no settings."""
        return self.name
