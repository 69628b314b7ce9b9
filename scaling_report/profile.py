"""Profile-likelihood intervals: how far a parameter can go before the best fit of the others is too bad."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

from scaling_report.delta import measure_spread
from scaling_report.fits import FitResult, scale
from scaling_report.laws import LAWS, Array, Law
from scaling_report.losses import LOSSES, Loss
from scaling_report.solver import descend

_WIDENINGS, _REFINEMENTS = 40, 30
_CLOSE = 1e-5  # of the deviate wanted


def profile_intervals(
    found: FitResult, x: Array, y: Array, level: float, weights: Array | None = None
) -> dict[str, tuple[float | None, float | None]] | None:
    """The interval of each parameter that stands alone in the solver's units: floors and exponents.

    Its ends are where 2·(rise of the objective) over the residuals' spread reaches the square of Student's
    quantile on n - P degrees of freedom (Venzon & Moolgavkar 1988; for robust losses Ronchetti 1982); for
    a law whose logarithm is linear in its parameters that is the textbook interval. An end is the bound
    where the profile never gets there before it, and None where there is no bound. Coefficients (a, A, B),
    which move with the exponents, have none. None altogether for the losses with corners, and where nothing
    is left over to judge by.
    """
    law, loss = LAWS[found.law], LOSSES[found.loss]
    weight = np.ones_like(y) if weights is None else weights
    spread = measure_spread(found, weights)
    if spread is None or loss.absolute or found.at_bound or not found.theta:
        return None
    scaled = scale(law, x, y[None])
    theta = np.array(found.theta)
    wanted = float(stdtrit(spread.dof, (1 + level) / 2))
    one = _Profile(law, loss, scaled.u, scaled.v, weight[None], theta, spread.per_unit)
    ends: dict[str, tuple[float | None, float | None]] = {}
    for i in _alone(law, theta, scaled.x0, scaled.y0):
        sides = []
        for sign in (-1.0, 1.0):
            there = one.end(i, sign, wanted)
            point = theta.copy()
            point[i] = there
            sides.append(float(law.natural(point, scaled.x0, scaled.y0)[i]) if np.isfinite(there) else None)
        ends[law.parameters[i]] = (sides[0], sides[1])
    return ends


def _alone(law: Law, theta: Array, x0: Array | float, y0: float) -> list[int]:
    """The parameters whose formula's value is one working parameter's and rises with it."""
    moved = law.natural(theta + 1e-3 * np.eye(theta.size), x0, y0) - law.natural(theta, x0, y0)
    return [i for i in range(theta.size) if moved[i, i] > 0 and np.count_nonzero(moved[:, i]) == 1]


@dataclass(frozen=True)
class _Profile:
    law: Law
    loss: Loss
    u: Array
    v: Array
    weights: Array
    theta: Array
    per_unit: float

    def end(self, i: int, sign: float, wanted: float) -> float:
        """Where parameter i's deviate is `wanted`, on one side of the optimum; the bound if it is not before.

        The deviate is nearly a straight line in the parameter, so steps follow the secant, inside a bracket.
        """
        best = self._minimum(i, float(self.theta[i]), self.theta)[0]
        bound = float((self.law.lower if sign < 0 else self.law.upper)[i])
        near, deviate = 0.0, 0.0  # steps away from the optimum
        far, guess = math.inf, 0.01 * max(1.0, abs(float(self.theta[i])))
        start = self.theta
        for trial in range(_WIDENINGS + _REFINEMENTS):
            place = float(self.theta[i]) + sign * guess
            outside = (place - bound) * sign >= 0
            place = bound if outside else place
            value, start = self._minimum(i, place, start)
            z = math.sqrt(max(0.0, 2 * (value - best) / self.per_unit))
            if abs(z - wanted) <= _CLOSE * wanted or (outside and z < wanted):
                return place
            away = abs(place - float(self.theta[i]))
            if z > wanted:
                far, at_far = away, z
            else:
                near, deviate = away, z
            if math.isinf(far):
                if trial >= _WIDENINGS:
                    return sign * math.inf
                guess = away * min(max(1.1 * wanted / max(z, 1e-3), 1.2), 4.0)
                continue
            share = (wanted - deviate) / (at_far - deviate)
            if trial % 3 == 2:  # a secant that keeps one end is slow: halve now and then
                share = 0.5
            guess = near + share * (far - near)
            if far - near <= 1e-12 * far:
                break
        return float(self.theta[i]) + sign * guess

    def _minimum(self, i: int, place: float, start: Array) -> tuple[float, Array]:
        lower, upper = self.law.lower.copy(), self.law.upper.copy()
        lower[i] = upper[i] = place
        held = replace(self.law, lower=lower, upper=upper)
        begin = start[None].copy()
        begin[:, i] = place
        theta, value, _ = descend(held, self.u, self.v, self.weights, begin, self.loss)
        return float(value[0]), theta[0]
