"""Standard errors over items: closed form for ratios of sums, resampling with replacement for the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CHUNK = 1 << 22  # counts held at once while resampling: 32 MB


def ratio_stderr(numerators: Array, denominators: Array) -> float:
    """Standard error of sum(a) / sum(b) over n >= 2 items, both (items,), by the delta method.

    sqrt(n / (n - 1) · Σ(a_i − R·b_i)²) / Σb with R the ratio (Cochran 1977, chapter 6, infinite population).
    With every b one it is the standard error of a mean; for right-or-wrong items, sqrt(p(1−p)/(n−1)).
    """
    n = len(numerators)
    total = denominators.sum()
    residuals = numerators - numerators.sum() / total * denominators
    return float(np.sqrt(n / (n - 1) * np.square(residuals).sum()) / total)


def index_units(items: int, groups: Sequence[str] | None) -> tuple[NDArray[np.intp], int]:
    """The independent unit of each item, (items,), and how many there are: its group, or the item itself.

    Items of a group (functions of one file, say) resemble each other; errors over groups, not items, allow
    for it (Cochran 1977, chapter 9: cluster sampling).
    """
    if groups is None:
        return np.arange(items), items
    if len(groups) != items:
        raise ValueError(f"{len(groups)} groups for {items} items; name one group an item")
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    return index, len(names)


def sum_units(statistics: Array, units: NDArray[np.intp], number: int) -> Array:
    """Item statistics (items, k) summed over items of one unit: (units, k)."""
    sums = np.zeros((number, statistics.shape[1]))
    np.add.at(sums, units, statistics)
    return sums


def bootstrap_counts(units: NDArray[np.intp], number: int, *, replicates: int, seed: int) -> Iterator[Array]:
    """How often each item is drawn in each replicate: (rows, items) at a time, `replicates` rows in all.

    `number` units are drawn with replacement, as many as there are (Efron 1979), and all items of a unit
    with it. The draws depend on `seed` and the number of units only, so metrics of the same items are
    resampled alike.
    """
    rng = np.random.default_rng(seed)
    rows = max(1, CHUNK // max(number, len(units)))
    for start in range(0, replicates, rows):
        draws = min(rows, replicates - start)
        chosen = rng.integers(0, number, size=(draws, number)) + number * np.arange(draws)[:, None]
        counts = np.bincount(chosen.ravel(), minlength=draws * number).reshape(draws, number)
        yield counts.astype(np.float64)[:, units]
