"""Shares of items of which something is true: a stereotype is preferred, a text toxic, or memorised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eval.metrics.base import Array, RatioMetric


@dataclass(frozen=True, kw_only=True)
class Share(RatioMetric):
    """Statistics (true, 1); its error is the binomial one, sqrt(p(1-p)/(n-1))."""

    def statistics(self, predictions: Sequence[bool], references: Sequence[bool] = ()) -> Array:
        """(items, 2): whether it is true of the item, and one. There are no references to compare with."""
        if len(references):
            raise ValueError(f"{self.name} compares with nothing; give no references")
        true = np.asarray(predictions)
        if not true.size:
            raise ValueError("no predictions; give at least one")
        if true.dtype != bool or true.ndim != 1:
            raise ValueError(
                f"{self.name} wants one true or false an item; {true.ravel()[:1].tolist()} found"
            )
        return np.column_stack([true.astype(np.float64), np.ones(len(true))])

    def signature(self) -> str:
        """What is true is said by whoever asked."""
        return self.name
