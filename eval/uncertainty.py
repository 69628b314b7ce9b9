"""Standard errors over items: closed form for ratios of sums, bootstrap of item statistics for the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_CHUNK = 1 << 22  # counts held at once while resampling: 32 MB


def ratio_stderr(numerators: Array, denominators: Array) -> float:
    """Standard error of sum(a) / sum(b) over n >= 2 items, both (items,), by the delta method.

    sqrt(n / (n - 1) · Σ(a_i − R·b_i)²) / Σb with R the ratio (Cochran 1977, chapter 6, infinite population).
    With every b one it is the standard error of a mean; for right-or-wrong items, sqrt(p(1−p)/(n−1)).
    """
    n = len(numerators)
    total = denominators.sum()
    residuals = numerators - numerators.sum() / total * denominators
    return float(np.sqrt(n / (n - 1) * np.square(residuals).sum()) / total)


def sum_groups(statistics: Array, groups: Sequence[str]) -> Array:
    """Item statistics (items, k) summed over items of one group: (groups, k).

    Items of a group (functions of one file, say) resemble each other; errors over groups, not items, allow
    for it (Cochran 1977, chapter 9: cluster sampling).
    """
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.zeros((index.max() + 1, statistics.shape[1]))
    np.add.at(sums, index, statistics)
    return sums


def bootstrap_sums(statistics: Array, *, replicates: int, seed: int) -> Array:
    """Sums of the statistics (items, k) over resampled items: (replicates, k).

    Items are drawn with replacement, as many as there are (Efron 1979). The draws depend on `seed` and the
    number of items only, so metrics of the same items are resampled alike.
    """
    n = len(statistics)
    rng = np.random.default_rng(seed)
    rows = max(1, _CHUNK // n)
    sums = []
    for start in range(0, replicates, rows):
        draws = min(rows, replicates - start)
        chosen = rng.integers(0, n, size=(draws, n)) + n * np.arange(draws)[:, None]
        counts = np.bincount(chosen.ravel(), minlength=draws * n).reshape(draws, n)
        sums.append(counts @ statistics)
    return np.concatenate(sums)


def bootstrap_stderr(
    aggregate: Callable[[Array], Array], statistics: Array, *, replicates: int, seed: int
) -> float:
    """Standard deviation over bootstrap replicates of the aggregate (not divided by their number)."""
    values = aggregate(bootstrap_sums(statistics, replicates=replicates, seed=seed))
    return float(np.std(values, ddof=1))
