"""Macro F1: the mean over classes of each class's F1, every class counting the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eval.metrics.base import Array, check_pairs


@dataclass(frozen=True)
class F1Macro:
    """Statistics are, for each class: hits, predictions, references.

    A class neither predicted nor present among the items is left out of the mean, as scikit-learn does by
    default; a class that is the one but not the other has F1 0.
    """

    labels: tuple[str, ...]
    name: str = "f1_macro"
    is_ratio: bool = False

    def statistics(self, predictions: Sequence[str], references: Sequence[str]) -> Array:
        """(items, 3 * classes): one-hot hits, then one-hot predictions, then one-hot references."""
        check_pairs(predictions, references)
        predicted, true = self._one_hot(predictions), self._one_hot(references)
        return np.concatenate([predicted * true, predicted, true], axis=1)

    def aggregate(self, sums: Array) -> Array:
        """Mean over classes seen of 2 * hits / (predictions + references)."""
        hits, predicted, true = np.split(np.asarray(sums, dtype=np.float64), 3, axis=-1)
        appearances = predicted + true
        f1 = np.divide(2 * hits, appearances, out=np.zeros_like(appearances), where=appearances > 0)
        return np.asarray(f1.sum(axis=-1) / (appearances > 0).sum(axis=-1))

    def signature(self) -> str:
        """The number of classes and the treatment of those that do not appear."""
        return f"f1_macro|classes:{len(self.labels)}|absent:skipped"

    def _one_hot(self, names: Sequence[str]) -> Array:
        place = {label: index for index, label in enumerate(self.labels)}
        if unknown := sorted(set(names) - set(place)):
            raise ValueError(f"label {unknown[0]!r} is none of the classes {', '.join(self.labels)}")
        rows = np.zeros((len(names), len(self.labels)))
        rows[np.arange(len(names)), [place[name] for name in names]] = 1.0
        return rows
