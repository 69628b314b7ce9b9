"""What a metric is: statistics of each item that add up, and a value computed from their sum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class ItemMetric(Protocol):
    """A metric over items. Its statistics are computed once; values and errors come from sums of them."""

    @property
    def name(self) -> str:
        """A key of `eval.results.METRICS`."""

    @property
    def is_ratio(self) -> bool:
        """Whether the value is statistic 0 over statistic 1, so that its error has a closed form."""

    def statistics(self, predictions: Sequence[str], references: Sequence[str]) -> Array:
        """Statistics of every item: (items, k), additive over items."""

    def aggregate(self, sums: Array) -> Array:
        """Sums of statistics (..., k) to values (...), on the metric's own scale."""

    def signature(self) -> str:
        """Everything that decides the value besides the texts."""


def check_pairs(predictions: Sequence[str], references: Sequence[str]) -> None:
    """`ValueError` unless there is one reference to each prediction, and at least one."""
    if len(predictions) != len(references) or not predictions:
        raise ValueError(
            f"{len(predictions)} predictions for {len(references)} references; give as many, at least one"
        )
