"""What an expert sees before fitting: flat, noise, saturated, a run that stands apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import fdtrc

from scaling_report.fits import FitResult
from scaling_report.laws import LAWS, Array
from scaling_report.notation import significant
from scaling_report.trend import ALPHA, ROUNDING
from scaling_report.wording import count, listed

PLATEAU_SHARE = 0.05  # of all it moved: what moves less over the largest sizes has ended
PLATEAU_SIZES = 3
PLATEAU_REACH = 3.0  # times from the first to the last of them: closer ones are one place
APART = 6.0  # robust standard deviations of the residuals; of 1,000 normal ones none lies so far off
SMALLEST_APART = 1e-6  # of ln y: rounding
NAMED = 3
BENT = ("bnsl",)  # may fall and rise again, which no plane sees


def find_symptoms(found: FitResult, x: Array, y: Array) -> tuple[list[str], list[str]]:
    """Sentences about a law's data, x (n,) or one row an input: why they show no law, and what beside."""
    if np.ptp(y) <= ROUNDING * np.abs(y).max():
        value = significant(float(y[0]))
        return [f"Not identified: flat, {value} in every run, so there is no trend and no law."], []
    inputs, rows = LAWS[found.law].inputs, np.atleast_2d(x)
    apart = _find_apart(found)
    places, means = _means(rows[:, ~apart], y[~apart])  # what is no part of the law says nothing of its trend
    against = [] if found.law in BENT else _no_trend(places, means)
    beside = _tell_apart(found, apart, inputs, rows)
    if len(inputs) == 1 and inputs != ("l",):  # of a law over loss the larger models stand at the low end
        beside = [*_saturation(places[0], means), *beside]
    return against, beside


def _no_trend(places: Array, means: Array) -> list[str]:
    """Whether anything moves with `places` (inputs, n): the F test of a plane in logarithms."""
    varied = places[np.ptp(places, axis=1) > 0]
    dof = means.size - 1 - len(varied)
    if dof < 1:
        return [f"Not identified: {count(means.size, 'size')} cannot show a trend, still less a law."]
    design = np.vstack([np.ones_like(means), np.log(varied)]).T
    log_y = np.log(means)
    fitted = design @ np.linalg.lstsq(design, log_y, rcond=None)[0]
    left, total = float(np.square(log_y - fitted).sum()), float(np.square(log_y - log_y.mean()).sum())
    if left <= ROUNDING * total:
        return []
    p_value = float(fdtrc(len(varied), dof, (total - left) / len(varied) / (left / dof)))
    if p_value < ALPHA:
        return []
    return [
        f"Not identified: no trend; over {count(means.size, 'size')} its logarithm shows no slope "
        f"(p = {p_value:.2f}), so the parameters describe noise."
    ]


def _saturation(sizes: Array, means: Array) -> list[str]:
    start = find_plateau(sizes, means)
    if start is None:
        return []
    return [
        f"Saturated: from {significant(start)} on it moves by less than {100 * PLATEAU_SHARE:.0f} % of its "
        "whole range, so larger sizes tell nothing; take a harder task or a finer metric."
    ]


def find_plateau(sizes: Array, means: Array) -> float | None:
    """The size from which on the means (sizes,) hardly move: the last `PLATEAU_SIZES` or more. Else None.

    Above zero their logarithms are looked at: a power law never ends.
    """
    if (means > 0).all():
        means = np.log(means)
    total = float(np.ptp(means))
    if total <= ROUNDING * max(float(np.abs(means).max()), 1.0):
        return None
    found = None
    for first in range(sizes.size - PLATEAU_SIZES, 0, -1):
        if np.ptp(means[first:]) >= PLATEAU_SHARE * total:
            break
        if sizes[-1] / sizes[first] >= PLATEAU_REACH:
            found = float(sizes[first])
    return found


def _find_apart(found: FitResult) -> np.ndarray:
    """Which runs (n,) have residuals far beyond what the middle of all residuals spreads."""
    residuals = np.array(found.log_residuals)
    if residuals.size < len(found.parameters) + 3:
        return np.zeros(residuals.size, dtype=bool)
    away = np.abs(residuals - np.median(residuals))
    # the deviations of a fit with P parameters are smaller than those of the noise: sqrt((n - P)/n)
    spread = 1.4826 * float(np.median(away))
    spread *= float(np.sqrt(residuals.size / (residuals.size - len(found.parameters))))
    return away > np.maximum(APART * spread, SMALLEST_APART)


def _tell_apart(found: FitResult, far: np.ndarray, names: Sequence[str], x: Array) -> list[str]:
    """The runs that stand apart, the farthest of them by name."""
    if not far.any():
        return []
    residuals = np.array(found.log_residuals)
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
    """The distinct places (inputs, places), and the mean y at each."""
    places, place_of_run = np.unique(x, axis=1, return_inverse=True)
    of_run = place_of_run.reshape(-1)
    return places, np.bincount(of_run, y) / np.bincount(of_run)
