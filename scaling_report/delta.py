"""The delta method: what the curve's slopes at the optimum say of the parameters' errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from scaling_report.fit import FitResult
from scaling_report.laws import LAWS, Array
from scaling_report.losses import LOSSES
from scaling_report.notation import significant

APART = 1.5  # times: errors of two methods that differ by more are worth a sentence
ENOUGH_TO_COUNT = 30  # residuals, from which their density at zero is counted rather than taken for normal
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Spread:
    """Of residuals of ln y under a loss whose derivative is psi: E psi² and E psi' (Huber 1981, ch. 7)."""

    psi_squared: float
    psi_slope: float
    dof: float

    @property
    def variance(self) -> float:
        """What takes the place of the residual variance in the covariance of the parameters."""
        return self.psi_squared / self.psi_slope**2

    @property
    def per_unit(self) -> float:
        """What twice a rise of the objective is divided by to be a squared standard normal deviate."""
        return self.psi_squared / self.psi_slope


def measure_spread(found: FitResult, weights: Array | None = None) -> Spread | None:
    """The residuals' spread; None where the loss has none (`asymmetric`), or no run is left to judge by.

    Least squares: the residual variance on n - P degrees of freedom. Huber's and the absolute loss: the
    density at zero is that of a normal distribution with the residuals' standard deviation, and from thirty
    runs on counted within the bandwidth of Hall & Sheather (1988), without the P points that the curve goes
    through.
    """
    loss, residuals = LOSSES[found.loss], np.array(found.log_residuals)
    weight = np.ones_like(residuals) if weights is None else weights
    dof = float(weight.sum()) - len(found.parameters)
    if loss.above != 1 or not loss.logarithm or dof <= 0:
        return None
    deviation = float(np.sqrt((weight * residuals**2).sum() / dof))
    if not deviation:
        return None
    if not loss.absolute and np.isinf(loss.delta):
        return Spread(deviation**2, 1.0, dof)
    delta = min(1e-6 * deviation, loss.delta) if loss.absolute else loss.delta
    if residuals.size < ENOUGH_TO_COUNT:
        inside = 2 * _NORMAL.cdf(delta / deviation) - 1
        density = _NORMAL.pdf(delta / deviation)
        squared = deviation**2 * inside - 2 * delta * deviation * density + delta**2 * (1 - inside)
        return Spread(squared, inside, dof)
    squared = float((weight * residuals.clip(-delta, delta) ** 2).sum()) / dof
    reach = max(delta, _bandwidth(residuals))
    within = float(weight[np.abs(residuals) <= reach].sum()) - len(found.parameters)
    return Spread(squared, max(within, 1.0) / dof * delta / reach, dof)


def _bandwidth(residuals: Array) -> float:
    """Half the width about the median that Hall & Sheather (1988) count within, as a residual."""
    n = residuals.size
    reach = n ** (-1 / 3) * _NORMAL.inv_cdf(0.975) ** (2 / 3) * (1.5 * _NORMAL.pdf(0) ** 2) ** (1 / 3)
    return float(np.quantile(np.abs(residuals), min(2 * reach, 0.9)))


def measure_covariance(found: FitResult, x: Array, weights: Array | None = None) -> Array | None:
    """Covariance of the parameters, (P, P) in the order of `found.parameters`: spread · (JᵀWJ)⁻¹.

    J are the derivatives of ln y by the formula's parameters. None where a parameter is at its bound, where
    the derivatives do not tell the parameters apart, and as `measure_spread`.
    """
    spread = measure_spread(found, weights)
    if spread is None or found.at_bound:
        return None
    at = np.array(list(found.parameters.values()))
    size = np.maximum(np.abs(at), 1e-12)
    steps = 1e-5 * np.diag(size)
    law = LAWS[found.law]
    with np.errstate(invalid="ignore", divide="ignore"):
        slopes = (
            law.link.to(law.predict(x, at + steps)) - law.link.to(law.predict(x, at - steps))
        ) / 2e-5  # (P, n)
    if not np.isfinite(slopes).all():
        return None
    rows = slopes * np.sqrt(1.0 if weights is None else weights)
    lengths = np.linalg.norm(rows, axis=1)
    if not lengths.all() or np.linalg.cond(rows / lengths[:, None]) > 1e7:  # beyond what differences resolve
        return None
    inverse = np.linalg.inv(rows @ rows.T / np.outer(lengths, lengths))
    return np.asarray(spread.variance * inverse * np.outer(size / lengths, size / lengths), dtype=np.float64)


def errors_of(matrix: Array | None, found: FitResult) -> dict[str, float] | None:
    """Standard errors, the roots of a covariance's diagonal."""
    if matrix is None:
        return None
    return dict(zip(found.parameters, np.sqrt(np.diag(matrix)).tolist(), strict=True))


def compare_errors(delta: Mapping[str, float], refits: Mapping[str, float], dof: float) -> list[str]:
    """A sentence where two errors of a parameter differ by more than `APART`.

    The refits' errors are half of a central 68 %, so the delta method's are taken as Student's on `dof`.
    """
    from scipy.special import stdtrit

    wider = float(stdtrit(dof, _NORMAL.cdf(1.0)))
    pairs = {name: (wider * delta[name], refits[name]) for name in delta}
    apart = {name: pair for name, pair in pairs.items() if max(pair) > APART * min(pair) and max(pair) > 1e-9}
    if not apart:
        return []
    told = ", ".join(
        f"of {name} {significant(own, 2)} beside {significant(other, 2)}"
        for name, (own, other) in apart.items()
    )
    return [
        f"Errors by the delta method, for which all runs scatter alike, differ from the refits' ({told}): "
        "go by the intervals of the refits."
    ]
