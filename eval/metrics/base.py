"""What a metric is: statistics of each item, and the value of items counted any number of times."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.uncertainty import ratio_stderr

Array = NDArray[np.float64]

Texts = Sequence[str | Sequence[str]]
"""References: a text an item, or several."""


@dataclass(frozen=True, kw_only=True)
class ItemMetric(ABC):
    """A metric over items. Its statistics are computed once; values and errors come from counting them.

    `name` is a key of `eval.results.METRICS`.
    """

    name: str
    undefined = "the value is not finite"  # why there is no value, for those who miss it

    @abstractmethod
    def statistics(self, predictions: Sequence[Any], references: Sequence[Any]) -> Array:
        """Statistics of every item: (items, k). `ValueError` for lengths that differ, and for no items."""

    @abstractmethod
    def values(self, statistics: Array, counts: Array) -> Array:
        """The value when item i counts `counts[r, i]` times: (items, k) and (R, items) to (R,).

        On the metric's own scale; NaN where there is none.
        """

    @abstractmethod
    def signature(self) -> str:
        """Everything that decides the value besides the texts."""

    def value(self, statistics: Array) -> float:
        """The value of all items of (items, k), each counted once."""
        return float(self.values(statistics, np.ones((1, len(statistics))))[0])

    def counted(self, statistics: Array) -> NDArray[np.bool_]:
        """Which rows of (rows, k) the metric is of, (rows,): all, unless it says otherwise."""
        return np.ones(len(statistics), dtype=bool)

    def closed_stderr(self, statistics: Array) -> float | None:
        """The value's standard error over independent rows (n >= 2, k); None where only a bootstrap tells."""
        return None


@dataclass(frozen=True, kw_only=True)
class SumMetric(ItemMetric):
    """A metric whose statistics add up: its value is a function of their sum."""

    @abstractmethod
    def aggregate(self, sums: Array) -> Array:
        """Sums of statistics (..., k) to values (...)."""

    def values(self, statistics: Array, counts: Array) -> Array:
        """The aggregate of weighted sums."""
        return self.aggregate(counts @ statistics)


@dataclass(frozen=True, kw_only=True)
class RatioMetric(SumMetric):
    """A metric that reads the ratio of two sums: its error has a closed form (delta method)."""

    def aggregate(self, sums: Array) -> Array:
        """Sum 0 over sum 1, as the metric reads it."""
        sums = np.asarray(sums, dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):  # NaN where there is no unit, as in empty texts
            return self.reading(sums[..., 0] / sums[..., 1])

    def counted(self, statistics: Array) -> NDArray[np.bool_]:
        """Not (0, 0): a document without a byte, a question without an answer say nothing of the ratio."""
        return np.asarray(statistics.any(axis=1))

    def reading(self, ratio: Array) -> Array:
        """The value at a ratio: the ratio itself unless a metric says otherwise."""
        return ratio

    def slope(self, ratio: float) -> float:
        """The reading's derivative."""
        return 1.0

    def closed_stderr(self, statistics: Array) -> float:
        """The ratio's standard error times the reading's slope."""
        ratio = statistics[:, 0].sum() / statistics[:, 1].sum()
        return ratio_stderr(statistics[:, 0], statistics[:, 1]) * abs(self.slope(float(ratio)))


class TextMetric(ABC):
    """A metric that compares tokens of texts, and so is nothing for a reference without any."""

    @abstractmethod
    def tokens(self, text: str) -> list[str]:
        """What the metric counts in a text."""


def check_pairs(predictions: Sequence[Any] | NDArray[Any], references: Sequence[Any] | NDArray[Any]) -> None:
    """`ValueError` unless there is one reference (or list of them) to each prediction, and at least one."""
    for what, given in (("predictions", predictions), ("references", references)):
        if isinstance(given, str):
            raise ValueError(f"{what} are one text, {_short(given)}; give a list of one text an item")
    items, others = len(predictions), len(references)
    if not items:
        raise ValueError("no predictions; give at least one")
    if others == items:
        return
    message = f"{items} predictions for {others} references; give as many"
    if others and all(isinstance(one, (list, tuple)) and len(one) == items for one in references):
        message += (
            f": they are {others} list{'s' * (others > 1)} of {items} texts, one list a reference, where one "
            "list an item is wanted"
        )
    raise ValueError(message)


def check_texts(
    predictions: Sequence[Any], references: Sequence[Any], *, may_lack: bool = False
) -> list[list[str]]:
    """Every item's references as a list; `ValueError` for what is no text, or no pair.

    Each item has at least one unless it `may_lack` them.
    """
    check_pairs(predictions, references)
    lists = [[one] if isinstance(one, str) else list(one) for one in references]
    for item, (prediction, texts) in enumerate(zip(predictions, lists, strict=True)):
        if not texts and not may_lack:
            raise ValueError(f"item {item} has no reference; give each at least one")
        for what, text in (("prediction", prediction), *(("reference", text) for text in texts)):
            if not isinstance(text, str):
                raise ValueError(f"item {item}: a {what} is {_short(text)}; a text is wanted")
    return lists


def count_references(references: Texts) -> int:
    """How many references each item has; -1 where they have different numbers, as sacreBLEU says it."""
    counts = {1 if isinstance(texts, str) else len(texts) for texts in references}
    return counts.pop() if len(counts) == 1 else -1


def safe_divide(above: Array, below: Array) -> Array:
    """above / below, and 0 where below is 0."""
    above, below = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    return np.asarray(np.divide(above, below, out=np.zeros_like(below), where=below > 0))


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
