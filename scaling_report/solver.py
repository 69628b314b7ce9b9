"""Minimise a loss of a law's residuals, many problems in step."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog

from scaling_report.laws import Array, Law
from scaling_report.losses import Loss

MAX_STEPS = 300
RELATIVE_GAIN = 1e-10  # of the objective in one step: less than this and the solver has arrived
SMALLEST_OBJECTIVE = 1e-28  # per point: residuals of 1e-14, the rounding of ln y
DAMPING_MAX = 1e10  # so short a step that the objective cannot fall any more
_CORNER_STEPS = 100
_SMALLEST_BOX = 1e-13  # of working parameters, which are of order one
_VALUES = 1 << 13  # points of all problems in step: 64 KB an array of them


def descend(
    law: Law, u: Array, v: Array, weights: Array, theta: Array, loss: Loss, steps: int = MAX_STEPS
) -> tuple[Array, Array, np.ndarray]:
    """Levenberg-Marquardt for M problems (v (M, n), theta (M, P)), as many in step as a cache holds.

    A step that fails raises a problem's damping, one that succeeds lowers it; `_step` says what that does.
    Returns theta, objective (M,), and whether each problem arrived.
    """
    rows = max(1, _VALUES // v.shape[-1])
    parts = [
        _descend(law, u, v[i : i + rows], weights[i : i + rows], theta[i : i + rows], loss, steps)
        for i in range(0, len(theta), rows)
    ]
    found, objective, converged = zip(*parts, strict=True)
    return np.concatenate(found), np.concatenate(objective), np.concatenate(converged)


def _descend(
    law: Law, u: Array, v: Array, weights: Array, theta: Array, loss: Loss, steps: int
) -> tuple[Array, Array, np.ndarray]:
    theta = theta.copy()
    objective = objective_of(law, u, v, weights, theta, loss)
    damping = np.ones(len(theta))
    converged = np.zeros(len(theta), dtype=bool)
    enough = SMALLEST_OBJECTIVE * v.shape[-1]
    active = np.arange(len(theta))
    for _ in range(steps):
        now = theta[active]
        step = _step(law, u, v[active], weights[active], now, loss, damping[active])
        trial = np.clip(now + step, law.lower, law.upper)
        reached = objective_of(law, u, v[active], weights[active], trial, loss)
        gain = objective[active] - reached
        better = gain >= 0
        theta[active] = np.where(better[:, None], trial, now)
        done = better & (gain <= RELATIVE_GAIN * objective[active] + enough)
        objective[active] = np.where(better, reached, objective[active])
        damping[active] = np.where(better, np.maximum(damping[active] / 3, 1e-12), damping[active] * 10)
        done |= damping[active] > DAMPING_MAX
        converged[active[done]] = True
        active = active[~done]
        if not active.size:
            break
    return theta, objective, converged


def objective_of(law: Law, u: Array, v: Array, weights: Array, theta: Array, loss: Loss) -> Array:
    """The weighted sum of losses of each problem (M,), infinite where it is no number."""
    with np.errstate(over="ignore", invalid="ignore"):
        value = (weights * loss.of(_residuals(law, u, v, theta, loss))).sum(axis=-1)
    return np.where(np.isfinite(value), value, np.inf)


def find_corner(
    law: Law, u: Array, v: Array, weights: Array, theta: Array, loss: Loss
) -> tuple[Array, float, bool]:
    """The minimum of an absolute loss near theta (P,), for data v (n,): point, objective, whether it arrived.

    It lies where the curve goes through as many points as it has parameters, to which no descent converges.
    So each step minimises the loss of the linearised residuals, a linear programme, within a box that shrinks
    where the step fails (Powell & Yuan 1984).
    """
    best = float(objective_of(law, u, v[None], weights[None], theta[None], loss)[0])
    box = 0.1
    for _ in range(_CORNER_STEPS):
        residuals = _residuals(law, u, v[None], theta[None], loss)[0]
        jacobian = _jacobian(law, u, theta[None], loss)[0]
        step = _linear_step(
            residuals,
            jacobian,
            weights,
            loss,
            np.maximum(law.lower - theta, -box),
            np.minimum(law.upper - theta, box),
        )
        trial = theta + step
        reached = float(objective_of(law, u, v[None], weights[None], trial[None], loss)[0])
        if reached < best:
            gain, best, theta = best - reached, reached, trial
            box *= 2
            if gain <= 1e-13 * best:
                return theta, best, True
        else:
            box /= 4
        if box < _SMALLEST_BOX:
            return theta, best, True
    return theta, best, False


def _linear_step(
    residuals: Array, jacobian: Array, weights: Array, loss: Loss, low: Array, high: Array
) -> Array:
    """The step (P,) within [low, high] with the least absolute loss of residuals + jacobian·step."""
    n, width = jacobian.shape
    costs = np.concatenate([np.zeros(width), weights * loss.above, weights])  # of what is above, below zero
    equal = np.hstack([jacobian, -np.eye(n), np.eye(n)])
    bounds = [*zip(low, high, strict=True), *[(0, None)] * (2 * n)]
    found = linprog(costs, A_eq=equal, b_eq=-residuals, bounds=bounds, method="highs")
    return np.zeros(width) if found.x is None else np.asarray(found.x[:width])


def _residuals(law: Law, u: Array, v: Array, theta: Array, loss: Loss) -> Array:
    curve = law.log_curve(theta, u)
    return curve - law.link.to(v) if loss.logarithm else law.link.back(curve) - v


def _jacobian(law: Law, u: Array, theta: Array, loss: Loss) -> Array:
    """Derivatives of the residuals, (M, n, P)."""
    slopes = law.log_jacobian(theta, u)
    return slopes if loss.logarithm else slopes * law.link.slope(law.log_curve(theta, u))[..., None]


def _step(
    law: Law, u: Array, v: Array, weights: Array, theta: Array, loss: Loss, damping: Array
) -> np.ndarray:
    """One damped step (M, P).

    At full damping the curvature is that of weights w·min(1, delta/|r|), whose squares touch the Huber losses
    from above, so that the step cannot fail but may be slow (Holland & Welsch 1977); at none it is the loss's
    own, where points beyond delta have no curvature, and the step is Newton's (Madsen & Nielsen 1990).
    Parameters at a bound that pull outwards are held there.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        residuals = _residuals(law, u, v, theta, loss)
        jacobian = _jacobian(law, u, theta, loss)  # (M, n, P)
    size = np.abs(residuals)
    weights = weights * loss.sides(residuals)
    touching = np.minimum(1, loss.delta / np.maximum(size, 1e-300))
    gradient = (jacobian.swapaxes(-1, -2) @ (weights * touching * residuals)[..., None])[..., 0]
    caution = np.minimum(1, damping)[:, None]
    curvature = weights * (caution * touching + (1 - caution) * (size <= loss.delta))
    normal = (jacobian * curvature[..., None]).swapaxes(-1, -2) @ jacobian  # (M, P, P)
    held = ((theta <= law.lower) & (gradient > 0)) | ((theta >= law.upper) & (gradient < 0))
    gradient = np.where(held, 0, gradient)
    normal = np.where(held[:, :, None] | held[:, None, :], 0, normal)
    diagonal = np.arange(theta.shape[-1])
    scale = normal[:, diagonal, diagonal]
    normal[:, diagonal, diagonal] += damping[:, None] * scale + np.where(held, 1, 1e-30)
    return -np.linalg.solve(normal, gradient[..., None])[..., 0]
