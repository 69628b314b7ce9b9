"""Correlations of predicted and true numbers, Pearson's and Spearman's, with errors by the bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eval.metrics.base import Array

NAMES = ("pearson", "spearman")


@dataclass(frozen=True)
class Correlation:
    """A correlation and its standard error; None, with the reason, where it cannot be known."""

    value: float
    stderr: float | None
    reason: str | None = None


def correlate(
    name: str,
    predictions: Array,
    references: Array,
    *,
    groups: Sequence[str] | None = None,
    replicates: int,
    seed: int,
) -> Correlation:
    """The correlation `name` (one of `NAMES`) of two arrays (items,); NaN where either is constant.

    Neither is a function of sums that a bootstrap could resample (ranks change with the items drawn), so the
    items themselves are drawn again: with replacement, as many as there are, or whole `groups` of them.
    """
    value = measure(name, predictions, references)
    if not np.isfinite(value):
        return Correlation(value, None, "predictions or references are all alike")
    members = _members(len(predictions), groups)
    if len(members) < 2:
        return Correlation(value, None, f"one {'item' if groups is None else 'group'} has no spread")
    draws = np.random.default_rng(seed).integers(0, len(members), size=(replicates, len(members)))
    values = np.array([_draw(name, predictions, references, members, draw) for draw in draws])
    values = values[np.isfinite(values)]  # a draw of one item over and over has no correlation
    if len(values) < 2:
        return Correlation(value, None, "too few items to draw again from")
    return Correlation(value, float(np.std(values, ddof=1)))


def _members(items: int, groups: Sequence[str] | None) -> list[np.ndarray]:
    """The items of each group; each item by itself without groups."""
    if groups is None:
        return [np.array([item]) for item in range(items)]
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    return [np.flatnonzero(index == group) for group in range(index.max() + 1)]


def _draw(name: str, predictions: Array, references: Array, members: list[np.ndarray], draw: Array) -> float:
    chosen = np.concatenate([members[group] for group in draw])
    return measure(name, predictions[chosen], references[chosen])


def measure(name: str, first: Array, second: Array) -> float:
    """The correlation `name` of two arrays (items,); ties share their mean rank; NaN for a constant."""
    if name == "spearman":
        from scipy.stats import rankdata

        first, second = rankdata(first), rankdata(second)
    first, second = first - first.mean(), second - second.mean()
    size = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / size) if size > 0 else float("nan")
