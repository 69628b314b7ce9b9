"""What a run weighs: the less, the larger its own measured error is beside the scatter that all share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling_report.fits import fit_many
from scaling_report.laws import LAWS, Array
from scaling_report.losses import HUBER, Loss
from scaling_report.notation import significant
from scaling_report.uncertainty import sizes_of

_ROUNDS = 10
_SMALLEST = 1e-20  # variance of ln y: what was measured without error has a finite weight
_SETTLED = 1e-3  # relative change of a weight: less than this and they are found


@dataclass(frozen=True)
class RunWeights:
    """Weights (n,) with a mean of one a size, and the variances of ln y behind them.

    `between_rungs` is what the law does not see, as a standard deviation of ln y; `share` the part of the
    variance about the curve that is measurement.
    """

    weights: Array
    between_rungs: float
    share: float

    @property
    def sentences(self) -> tuple[str, ...]:
        """That weights were used, and what measuring adds to the scatter."""
        if not self.between_rungs:
            return (
                "Runs weigh by 1 / measured error²: they lie no further from the curve than those errors,"
                " which runs on the same items share.",
            )
        return (
            f"Runs weigh by 1 / (scatter² + measured error²): {significant(100 * self.share, 2)} % of the"
            f" variance about the curve is measurement; beside it runs scatter by"
            f" {significant(100 * self.between_rungs, 2)} %.",
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "scatter": self.between_rungs,
            "measurement_share": self.share,
            "of_runs": self.weights.tolist(),
        }


def weigh_runs(
    law: str, x: Array, y: Array, error: Array, *, loss: Loss = HUBER, seeds_share: bool = False
) -> RunWeights:
    """Weights of runs whose y (n,) has standard errors `error` (n,), by the law that is being fitted.

    A run's weight is inversely proportional to scatter² + error², as in a random-effects meta-analysis
    (DerSimonian & Laird 1986), the scatter being that which makes the residuals' weighted squares as many as
    they have degrees of freedom (Paule & Mandel 1982); fit and weights follow each other until they
    settle. With `seeds_share` the runs of one size share the scatter and, measured on the same items, the
    error: their mean counts once, its variance being scatter² + error² + (variance between seeds) / runs.
    """
    link = LAWS[law].link
    measured = error / link.slope(link.to(y))  # of ln y, or of a share's log-odds
    size_of_run, runs = sizes_of(x) if seeds_share else (np.arange(y.size), np.ones(y.size, dtype=int))
    weights, scatter, within = 1.0 / runs[size_of_run], 0.0, 0.0
    for _ in range(_ROUNDS):
        found = fit_many(LAWS[law], x, y[None], weights=weights[None], loss=loss)
        residuals = link.to(y) - link.to(found.predict(x)[0])
        means = np.bincount(size_of_run, weights=residuals) / runs
        if seeds_dof := y.size - len(runs):
            within = float(((residuals - means[size_of_run]) ** 2).sum()) / seeds_dof
        errors = np.bincount(size_of_run, weights=measured**2) / runs
        variances = np.maximum(errors + within / runs, _SMALLEST)
        scatter = _scatter(means, variances, len(LAWS[law].parameters))
        of_size = 1 / (scatter**2 + variances)
        of_size *= len(runs) / of_size.sum()
        before, weights = weights, (of_size / runs)[size_of_run]
        if np.abs(weights / before - 1).max() <= _SETTLED:
            break
    error_squared = float(np.mean(errors))
    total = scatter**2 + error_squared + within
    return RunWeights(weights, scatter, error_squared / total if total else 0.0)


def _scatter(means: Array, variances: Array, parameters: int) -> float:
    """The standard deviation beside `variances` at which sum(means² / variance) is the degrees of freedom."""
    dof = len(means) - parameters

    def excess(square: float) -> float:
        return float((means**2 / (square + variances)).sum()) - dof

    if dof <= 0 or excess(0.0) <= 0:
        return 0.0
    low, high = 0.0, float((means**2).sum()) / dof
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return float(np.sqrt(high))
