"""What an expert sees before fitting: flat, noise, saturated, a run that stands apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scaling_report.fits import FitResult
from scaling_report.laws import LAWS, Array
from scaling_report.notation import significant
from scaling_report.trend import ALPHA, ROUNDING, measure_slope
from scaling_report.wording import count, listed

PLATEAU_SHARE = 0.05  # of all it moved: what moves less over the largest sizes has ended
PLATEAU_SIZES = 3
PLATEAU_REACH = 3.0  # times from the first to the last of them: closer ones are one place
APART = 6.0  # robust standard deviations of the residuals; of 1,000 normal ones none lies so far off
SMALLEST_APART = 1e-6  # of ln y: rounding
NAMED = 3


def find_symptoms(found: FitResult, x: Array, y: Array) -> list[str]:
    """Sentences about data of a law, x (n,) or one row an input, that its parameters do not tell."""
    if np.ptp(y) <= ROUNDING * np.abs(y).max():
        return [f"Flat: it is {significant(float(y[0]))} in every run, so there is no trend and no law."]
    law = LAWS[found.law]
    told = []
    if len(law.inputs) == 1:
        told = _of_curve(x.reshape(-1), y)
    return told + _apart(found, law.inputs, np.atleast_2d(x))


def _of_curve(x: Array, y: Array) -> list[str]:
    sizes, means = _means(x, y)
    if sizes.size < 3:
        return [
            f"{count(sizes.size, 'size').capitalize()} cannot show a trend, still less a law; measure more."
        ]
    *_, p_value = measure_slope(np.log10(sizes), np.log(means))
    if p_value >= ALPHA:
        return [
            f"No trend: over {count(sizes.size, 'size')} its logarithm shows no slope (p = {p_value:.2f}), "
            "so the parameters describe noise."
        ]
    start = find_plateau(sizes, means)
    if start is None:
        return []
    return [
        f"Saturated: from {significant(start)} on it moves by less than {100 * PLATEAU_SHARE:.0f} % of its "
        "whole range, so larger sizes tell nothing; take a harder task or a finer metric."
    ]


def find_plateau(sizes: Array, means: Array) -> float | None:
    """The size from which on the means (sizes,) hardly move: the last `PLATEAU_SIZES` or more. Else None."""
    total = float(np.ptp(means))
    if total <= ROUNDING * np.abs(means).max():
        return None
    found = None
    for first in range(sizes.size - PLATEAU_SIZES, 0, -1):
        if np.ptp(means[first:]) >= PLATEAU_SHARE * total:
            break
        if sizes[-1] / sizes[first] >= PLATEAU_REACH:
            found = float(sizes[first])
    return found


def _apart(found: FitResult, names: Sequence[str], x: Array) -> list[str]:
    """The runs whose residuals are far beyond what the middle of all residuals spreads."""
    residuals = np.array(found.log_residuals)
    if residuals.size < len(found.parameters) + 3:
        return []
    middle = float(np.median(residuals))
    # the deviations of a fit with P parameters are smaller than those of the noise: sqrt((n - P)/n)
    spread = 1.4826 * float(np.median(np.abs(residuals - middle)))
    spread *= float(np.sqrt(residuals.size / (residuals.size - len(found.parameters))))
    far = np.abs(residuals - middle) > np.maximum(APART * spread, SMALLEST_APART)
    if not far.any():
        return []
    worst = np.flatnonzero(far)[np.argsort(-np.abs(residuals[far]))]
    named = [
        f"{', '.join(f'{name} = {significant(value)}' for name, value in zip(names, x[:, i], strict=True))} "
        f"({significant(100 * float(np.expm1(residuals[i])), 2)} %)"
        for i in worst[:NAMED]
    ]
    runs = f"{count(int(far.sum()), 'run')} lie{'s' if far.sum() == 1 else ''}"
    return [
        f"Off the law: {runs} beyond {APART:g} robust standard deviations, the farthest at {listed(named)}; "
        "look for a diverged run or a wrong row."
    ]


def _means(x: Array, y: Array) -> tuple[Array, Array]:
    sizes = np.unique(x)
    return sizes, np.array([y[x == size].mean() for size in sizes])
