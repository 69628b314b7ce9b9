"""Correlations of predicted and true numbers, Pearson's and Spearman's, with errors by the bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.metrics.base import Array, ItemMetric, check_pairs


@dataclass(frozen=True, kw_only=True)
class Pearson(ItemMetric):
    """Statistics are the two numbers: squares that add up would cancel, and ranks change with the draw."""

    name: str = "pearson"
    undefined = "predictions or references are all alike, or not finite"

    def statistics(
        self, predictions: Sequence[float] | NDArray[np.float64], references: Sequence[float] | Array
    ) -> Array:
        """(items, 2): prediction and reference."""
        check_pairs(predictions, references)
        return np.column_stack([np.asarray(predictions, np.float64), np.asarray(references, np.float64)])

    def values(self, statistics: Array, counts: Array) -> Array:
        """Pearson's correlation (R,), NaN where the items drawn are all alike in either number."""
        predictions, references = statistics.T
        return weighted_pearson(predictions[None], references[None], counts)

    def signature(self) -> str:
        """It has no settings."""
        return self.name


@dataclass(frozen=True, kw_only=True)
class Spearman(Pearson):
    """Pearson's correlation of ranks among the items drawn; equal numbers share their mean rank."""

    name: str = "spearman"

    def values(self, statistics: Array, counts: Array) -> Array:
        """Spearman's correlation (R,), NaN where the items drawn are all alike in either number."""
        predictions, references = statistics.T
        return weighted_pearson(mean_ranks(predictions, counts), mean_ranks(references, counts), counts)


def weighted_pearson(first: Array, second: Array, counts: Array) -> Array:
    """Correlation of two arrays (R or 1, items), each number `counts` (R, items) times there: (R,).

    Deviations are taken from each row's own mean before they are squared, so that nothing cancels; NaN for
    rows in which one of the two is constant.
    """
    total = counts.sum(axis=1, keepdims=True)
    deviations = []
    varies = np.ones(len(counts), dtype=bool)
    for numbers in (first, second):
        mean = (counts * numbers).sum(axis=1, keepdims=True) / total
        deviations.append(numbers - mean)
        low = np.where(counts > 0, numbers, np.inf).min(axis=1)
        varies &= np.where(counts > 0, numbers, -np.inf).max(axis=1) > low
    one, other = deviations
    product = (counts * one * other).sum(axis=1)
    size = np.sqrt((counts * one**2).sum(axis=1)) * np.sqrt((counts * other**2).sum(axis=1))
    values = np.full(len(counts), np.nan)
    return np.divide(product, size, out=values, where=varies & (size > 0))


def mean_ranks(numbers: Array, counts: Array) -> Array:
    """The rank, from 1, of each of `numbers` (items,) among themselves, repeated `counts` times: (R, items).

    Equal numbers share the mean of their ranks.
    """
    _, place = np.unique(numbers, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    together = np.add.reduceat(counts[:, order], starts, axis=1)  # (R, distinct numbers)
    ranks = np.cumsum(together, axis=1) - (together - 1) / 2
    return np.asarray(ranks[:, place])
