"""Approach 1: of the runs of like compute the one with the lowest loss is taken for the best size."""

from __future__ import annotations

import numpy as np

from scaling_report.laws import Array

BIN = 10**0.25  # times its least FLOPs, a bin's most: four bins a decade
SIZES_NEEDED = 3  # of a bin: of fewer the best says little


def bin_by_compute(n: Array, c: Array) -> list[np.ndarray]:
    """The runs' places by bin, cheapest first; bins of fewer than three sizes are left out.

    A bin begins at the first run that the one before does not reach, so that no budget is cut in two.
    """
    order = np.argsort(c, kind="stable")
    bins: list[list[int]] = []
    for place in order.tolist():
        if bins and c[place] <= c[bins[-1][0]] * BIN:
            bins[-1].append(place)
        else:
            bins.append([place])
    return [np.array(one) for one in bins if np.unique(n[one]).size >= SIZES_NEEDED]


def winners(bins: list[np.ndarray], y: Array) -> np.ndarray:
    """The place of the run with the lowest loss of each bin, for y (R, runs) or (runs,): (R, bins)."""
    y = np.atleast_2d(y)
    if not bins:
        return np.zeros((len(y), 0), dtype=int)
    return np.stack([one[y[:, one].argmin(axis=1)] for one in bins], axis=1)


def redraw(bins: list[np.ndarray], y: Array, replicates: int, rng: np.random.Generator) -> np.ndarray:
    """Winners (replicates, bins) where the runs of every bin are drawn again with replacement."""
    drawn = [one[rng.integers(one.size, size=(replicates, one.size))] for one in bins]
    rows = np.arange(replicates)
    return np.stack([one[rows, y[one].argmin(axis=1)] for one in drawn], axis=1)
