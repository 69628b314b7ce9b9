"""Minimise a loss of a law's residuals, many problems in step."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from scaling_report.laws import Array, Law
from scaling_report.losses import Loss

MAX_STEPS = 300
RELATIVE_GAIN = 1e-10  # of the objective in one step: less than this and the solver has arrived
SMALLEST_OBJECTIVE = 1e-28  # per point: residuals of 1e-14, the rounding of ln y
DAMPING_MAX = 1e10  # so short a step that the objective cannot fall any more
_CORNER_STEPS = 100
_SMALLEST_BOX = 1e-13  # of working parameters, which are of order one
_VALUES = 1 << 13  # points of all problems in step: 64 KB an array of them
_WORTH_THREADS = 4  # such parts
_THREADS = min(4, os.cpu_count() or 1)  # more would wait for the interpreter


def descend(
    law: Law, u: Array, v: Array, weights: Array, theta: Array, loss: Loss, steps: int = MAX_STEPS
) -> tuple[Array, Array, np.ndarray]:
    """Levenberg-Marquardt for M problems (v (M, n), theta (M, P)), as many in step as a cache holds.

    A step that fails raises a problem's damping, one that succeeds lowers it; `_step` says what that does.
    Returns theta, objective (M,), and whether each problem arrived.
    """
    rows = max(1, _VALUES // v.shape[-1])

    def part(i: int) -> tuple[Array, Array, np.ndarray]:
        return _descend(law, u, v[i : i + rows], weights[i : i + rows], theta[i : i + rows], loss, steps)

    firsts = range(0, len(theta), rows)
    if len(firsts) < _WORTH_THREADS:
        parts = [part(i) for i in firsts]
    else:  # numpy lets go of the interpreter while it computes; who goes first changes no number
        with ThreadPoolExecutor(_THREADS) as pool:
            parts = list(pool.map(part, firsts))
    found, objective, converged = zip(*parts, strict=True)
    return np.concatenate(found), np.concatenate(objective), np.concatenate(converged)


def _descend(
    law: Law, u: Array, v: Array, weights: Array, theta: Array, loss: Loss, steps: int
) -> tuple[Array, Array, np.ndarray]:
    found, reached = theta.copy(), np.empty(len(theta))
    converged = np.zeros(len(theta), dtype=bool)
    enough = SMALLEST_OBJECTIVE * v.shape[-1]
    going = np.arange(len(theta))  # what follows is of these, the first axis being theirs
    target, damping = _target(law, v, loss), np.ones(len(theta))
    residuals, slopes = _linearise(law, u, target, theta, loss)
    objective = _total(weights, residuals, loss)
    for _ in range(steps * law.patience if steps >= MAX_STEPS else steps):
        step = _step(law, weights, residuals, slopes, theta, loss, damping)
        trial = np.clip(theta + step, law.lower, law.upper)
        tried, slopes_there = _linearise(law, u, target, trial, loss)
        value = _total(weights, tried, loss)
        with np.errstate(invalid="ignore"):  # where neither is a number, which is no gain
            gain = objective - value
        better = gain >= 0
        done = better & (gain <= RELATIVE_GAIN * objective + enough)
        damping = np.where(better, np.maximum(damping / 3, 1e-12), damping * 10)
        done |= damping > DAMPING_MAX
        if not better.all():
            stays = ~better
            trial[stays], value[stays] = theta[stays], objective[stays]
            tried[stays], slopes_there[stays] = residuals[stays], slopes[stays]
        theta, objective, residuals, slopes = trial, value, tried, slopes_there
        if done.any():
            arrived, left = going[done], ~done
            found[arrived], reached[arrived], converged[arrived] = theta[done], objective[done], True
            going, theta, objective, damping = going[left], theta[left], objective[left], damping[left]
            residuals, slopes = residuals[left], slopes[left]
            target, weights = target[left], weights[left]
            if not going.size:
                break
    found[going], reached[going] = theta, objective
    return found, reached, converged


def objective_of(law: Law, u: Array, v: Array, weights: Array, theta: Array, loss: Loss) -> Array:
    """The weighted sum of losses of each problem (M,), infinite where it is no number."""
    with np.errstate(over="ignore", invalid="ignore"):
        return _total(weights, _residuals(law, u, v, theta, loss), loss)


def _total(weights: Array, residuals: Array, loss: Loss) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):
        value = np.einsum("...n,...n->...", weights, loss.of(residuals))
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
        residuals, slopes = _linearise(law, u, _target(law, v[None], loss), theta[None], loss)
        step = _linear_step(
            residuals[0],
            slopes[0].T,
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
    from scipy.optimize import linprog  # a tenth of a second to import, and only absolute losses want it

    n, width = jacobian.shape
    costs = np.concatenate([np.zeros(width), weights * loss.above, weights])  # of what is above, below zero
    equal = np.hstack([jacobian, -np.eye(n), np.eye(n)])
    bounds = [*zip(low, high, strict=True), *[(0, None)] * (2 * n)]
    found = linprog(costs, A_eq=equal, b_eq=-residuals, bounds=bounds, method="highs")
    return np.zeros(width) if found.x is None else np.asarray(found.x[:width])


def _target(law: Law, v: Array, loss: Loss) -> Array:
    """What the curve is held against."""
    return law.link.to(v) if loss.logarithm else v


def _residuals(law: Law, u: Array, v: Array, theta: Array, loss: Loss) -> Array:
    curve = law.log_curve(theta, u)
    return (curve if loss.logarithm else law.link.back(curve)) - _target(law, v, loss)


def _linearise(law: Law, u: Array, target: Array, theta: Array, loss: Loss) -> tuple[Array, Array]:
    """Residuals (M, n) and their derivatives (M, P, n)."""
    with np.errstate(over="ignore", invalid="ignore"):
        if law.log_both is not None:
            curve, slopes = law.log_both(theta, u)
        else:
            curve, slopes = law.log_curve(theta, u), law.log_jacobian(theta, u).swapaxes(-1, -2)
        if not loss.logarithm:
            slopes = slopes * law.link.slope(curve)[..., None, :]
            curve = law.link.back(curve)
        return curve - target, slopes


def _step(
    law: Law, weights: Array, residuals: Array, slopes: Array, theta: Array, loss: Loss, damping: Array
) -> np.ndarray:
    """One damped step (M, P).

    At full damping the curvature is that of weights w·min(1, delta/|r|), whose squares touch the Huber losses
    from above, so that the step cannot fail but may be slow (Holland & Welsch 1977); at none it is the loss's
    own, where points beyond delta have no curvature, and the step is Newton's (Madsen & Nielsen 1990).
    Parameters at a bound that pull outwards are held there.
    """
    weights = weights * loss.sides(residuals) if loss.above != 1 else weights
    with np.errstate(invalid="ignore"):  # from a start where the curve is no number there is no step
        gradient = (slopes @ (weights * residuals.clip(-loss.delta, loss.delta))[..., None])[..., 0]
    curvature = weights
    if np.isfinite(loss.delta):
        size = np.abs(residuals)
        caution = np.minimum(1, damping)[:, None]
        touching = caution * (loss.delta / np.maximum(size, 1e-300))
        curvature = weights * np.where(size <= loss.delta, 1.0, touching)
    with np.errstate(invalid="ignore"):
        normal = (slopes * curvature[..., None, :]) @ slopes.swapaxes(-1, -2)  # (M, P, P)
    held = ((theta <= law.lower) & (gradient > 0)) | ((theta >= law.upper) & (gradient < 0))
    gradient = np.where(held, 0, gradient)
    normal = np.where(held[:, :, None] | held[:, None, :], 0, normal)
    diagonal = np.arange(theta.shape[-1])
    scale = normal[:, diagonal, diagonal]
    normal[:, diagonal, diagonal] += damping[:, None] * scale + np.where(held, 1, 1e-30)
    return -np.linalg.solve(normal, gradient[..., None])[..., 0]
