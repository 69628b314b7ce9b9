"""F1 over labels: macro, every class counting the same, and micro, every decision the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eval.metrics.base import Array, SumMetric, check_pairs, safe_divide

Labels = Sequence[str | Sequence[str]]
"""A label an item, or any number of them."""


@dataclass(frozen=True, kw_only=True)
class F1Macro(SumMetric):
    """Statistics are, for each class: hits, predictions, references.

    A class neither predicted nor present among the items is left out of the mean, as scikit-learn does by
    default for single labels; a class that is the one but not the other has F1 0.
    """

    name: str = "f1_macro"
    labels: tuple[str, ...]

    def statistics(self, predictions: Labels, references: Labels) -> Array:
        """(items, 3 * classes): one-hot hits, then one-hot predictions, then one-hot references."""
        check_pairs(predictions, references)
        predicted, true = one_hot(self.labels, predictions), one_hot(self.labels, references)
        return np.concatenate([predicted * true, predicted, true], axis=1)

    def aggregate(self, sums: Array) -> Array:
        """Mean over classes seen of 2 * hits / (predictions + references); 0 where none is seen."""
        hits, predicted, true = np.split(np.asarray(sums, dtype=np.float64), 3, axis=-1)
        appearances = predicted + true
        f1 = safe_divide(2 * hits, appearances)
        return safe_divide(f1.sum(axis=-1), (appearances > 0).sum(axis=-1))

    def signature(self) -> str:
        """The number of classes and the treatment of those that do not appear."""
        return f"f1_macro|classes:{len(self.labels)}|absent:skipped"


@dataclass(frozen=True, kw_only=True)
class F1Micro(SumMetric):
    """Statistics are hits, predictions, references, over all classes together."""

    name: str = "f1_micro"
    labels: tuple[str, ...]

    def statistics(self, predictions: Labels, references: Labels) -> Array:
        """(items, 3): how many labels of the item are right, are predicted, are true."""
        check_pairs(predictions, references)
        predicted, true = one_hot(self.labels, predictions), one_hot(self.labels, references)
        return np.column_stack([(predicted * true).sum(1), predicted.sum(1), true.sum(1)])

    def aggregate(self, sums: Array) -> Array:
        """2 * hits / (predictions + references); 0 where there are neither."""
        sums = np.asarray(sums, dtype=np.float64)
        return safe_divide(2 * sums[..., 0], sums[..., 1] + sums[..., 2])

    def signature(self) -> str:
        """The number of classes."""
        return f"f1_micro|classes:{len(self.labels)}"


def one_hot(labels: Sequence[str], items: Labels) -> Array:
    """(items, classes): 1 where the item has the label. `ValueError` for one that is none of `labels`."""
    place = {label: index for index, label in enumerate(labels)}
    rows = np.zeros((len(items), len(labels)))
    for number, item in enumerate(items):
        for name in [item] if isinstance(item, str) else item:
            if name not in place:
                raise ValueError(f"label {name!r} is none of the classes {', '.join(labels)}")
            rows[number, place[name]] = 1.0
    return rows
