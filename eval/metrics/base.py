"""What a metric is: statistics of each item that add up, and a value computed from their sum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

Texts = Sequence[str | Sequence[str]]
"""References: a text an item, or several."""


class ItemMetric(Protocol):
    """A metric over items. Its statistics are computed once; values and errors come from sums of them."""

    @property
    def name(self) -> str:
        """A key of `eval.results.METRICS`."""

    @property
    def is_ratio(self) -> bool:
        """Whether the value is statistic 0 over statistic 1, so that its error has a closed form."""

    def statistics(self, predictions: Sequence[Any], references: Sequence[Any]) -> Array:
        """Statistics of every item: (items, k), additive over items."""

    def aggregate(self, sums: Array) -> Array:
        """Sums of statistics (..., k) to values (...), on the metric's own scale."""

    def signature(self) -> str:
        """Everything that decides the value besides the texts."""


def check_pairs(predictions: Sequence[Any], references: Sequence[Any]) -> None:
    """`ValueError` unless there is one reference (or list of them) to each prediction, and at least one."""
    if len(predictions) != len(references) or not predictions:
        raise ValueError(
            f"{len(predictions)} predictions for {len(references)} references; give as many, at least one"
        )


def all_references(references: Texts) -> list[list[str]]:
    """Every item's references as a list of at least one."""
    lists = [[one] if isinstance(one, str) else list(one) for one in references]
    if not all(lists):
        raise ValueError("an item has no reference; give each at least one")
    return lists


def count_references(references: Texts) -> int:
    """How many references each item has; -1 where they have different numbers, as sacreBLEU says it."""
    counts = {len(texts) for texts in all_references(references)}
    return counts.pop() if len(counts) == 1 else -1


def safe_divide(above: Array, below: Array) -> Array:
    """above / below, and 0 where below is 0."""
    above, below = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    return np.asarray(np.divide(above, below, out=np.zeros_like(below), where=below > 0))
