"""Laws of one input: a metric against size, data or compute."""

from __future__ import annotations

import numpy as np

from scaling_report.laws.law import EXPONENT_MAX, SMALLEST_SHARE, Array, Law

EXPONENTS = np.geomspace(0.01, EXPONENT_MAX, 48)  # the grid of variable projection
SEGMENTS = 4  # the best exponent of each quarter of the grid becomes a start


def power(x: Array, a: float, b: float) -> Array:
    """y = a·x^-b. Kaplan et al. 2020 (arXiv:2001.08361), eq. 1.1, with its critical size inside a."""
    return a * x**-b


def power_floor(x: Array, e: float, a: float, b: float) -> Array:
    """y = e + a·x^-b, e the irreducible part. Henighan et al. 2020 (arXiv:2010.14701), eq. 1.1."""
    return e + a * x**-b


def _power_log_curve(theta: Array, u: Array) -> Array:
    log_a, b = theta[..., :1], theta[..., 1:]
    return log_a - b * np.log(u)


def _power_log_jacobian(theta: Array, u: Array) -> Array:
    by_log_a = np.ones((*theta.shape[:-1], u.size))
    return np.stack([by_log_a, np.broadcast_to(-np.log(u), by_log_a.shape)], axis=-1)


def _power_starts(u: Array, v: Array, weights: Array) -> Array:
    """The weighted log-linear least-squares line: one start is enough, the problem is convex."""
    log_u, log_v = np.log(u), np.log(v)
    total = weights.sum(axis=-1, keepdims=True)
    mean_u = (weights * log_u).sum(axis=-1, keepdims=True) / total
    mean_v = (weights * log_v).sum(axis=-1, keepdims=True) / total
    spread = (weights * (log_u - mean_u) ** 2).sum(axis=-1)
    slope = (weights * (log_u - mean_u) * (log_v - mean_v)).sum(axis=-1) / np.maximum(spread, 1e-300)
    theta = np.stack([mean_v[..., 0] - slope * mean_u[..., 0], -slope], axis=-1)
    return theta[:, None, :]


def _power_natural(theta: Array, x0: float, y0: float) -> Array:
    log_a, b = theta[..., 0], theta[..., 1]
    return np.stack([y0 * np.exp(log_a) * x0**b, b], axis=-1)


def _floor_curve(theta: Array, u: Array) -> tuple[Array, Array]:
    """The curve and its falling part's shape u^-b, both (..., n)."""
    e, a, b = theta[..., :1], theta[..., 1:2], theta[..., 2:]
    shape = u**-b
    return e + a * shape, shape


def _floor_log_curve(theta: Array, u: Array) -> Array:
    return np.log(_floor_curve(theta, u)[0])


def _floor_log_jacobian(theta: Array, u: Array) -> Array:
    curve, shape = _floor_curve(theta, u)
    by_b = -theta[..., 1:2] * shape * np.log(u)
    return np.stack([1 / curve, shape / curve, by_b / curve], axis=-1)


def _floor_starts(u: Array, v: Array, weights: Array) -> Array:
    """Variable projection (Golub & Pereyra 1973): for every exponent of the grid the best e, a >= 0.

    Least squares of relative residuals, so nearly of ln v. Best of each segment of the grid: theta (R,
    SEGMENTS, 3).
    """
    shapes = u ** -EXPONENTS[:, None]  # (B, n)
    relative = weights / v**2  # (R, n)
    s_1 = relative.sum(axis=-1)[:, None]  # (R, 1)
    s_v = (relative * v).sum(axis=-1)[:, None]
    s_f, s_ff, s_fv = relative @ shapes.T, relative @ (shapes**2).T, (relative * v) @ shapes.T  # (R, B)
    determinant = np.maximum(s_1 * s_ff - s_f**2, 1e-300)
    with np.errstate(over="ignore"):  # one size only is left: what is no number is never the best
        e = (s_v * s_ff - s_fv * s_f) / determinant
        a = (s_fv * s_1 - s_v * s_f) / determinant
    e, a = np.where(a < 0, s_v / s_1, e), np.maximum(a, SMALLEST_SHARE)
    e, a = np.maximum(e, 0.0), np.where(e < 0, s_fv / s_ff, a)
    with np.errstate(over="ignore", invalid="ignore"):
        loss = s_1 * e**2 + s_ff * a**2 + 2 * e * a * s_f - 2 * e * s_v - 2 * a * s_fv  # but for a constant
    loss = np.where(np.isfinite(loss), loss, np.inf)
    segments = np.array_split(np.arange(EXPONENTS.size), SEGMENTS)
    best = np.stack([part[loss[:, part].argmin(axis=-1)] for part in segments], axis=-1)  # (R, SEGMENTS)
    rows = np.arange(len(best))[:, None]
    return np.stack([e[rows, best], a[rows, best], EXPONENTS[best]], axis=-1)


def _floor_natural(theta: Array, x0: float, y0: float) -> Array:
    e, a, b = theta[..., 0], theta[..., 1], theta[..., 2]
    return np.stack([y0 * e, y0 * a * x0**b, b], axis=-1)


POWER = Law(
    name="power",
    formula="y = a·x^-b",
    source="Kaplan et al. 2020",
    parameters=("a", "b"),
    lower=np.array([-np.inf, -EXPONENT_MAX]),
    upper=np.array([np.inf, EXPONENT_MAX]),
    curve=power,
    log_curve=_power_log_curve,
    log_jacobian=_power_log_jacobian,
    starts=_power_starts,
    natural=_power_natural,
)

POWER_FLOOR = Law(
    name="power-floor",
    formula="y = e + a·x^-b",
    source="Henighan et al. 2020",
    parameters=("e", "a", "b"),
    lower=np.array([0.0, SMALLEST_SHARE, EXPONENTS[0]]),
    upper=np.array([np.inf, np.inf, EXPONENT_MAX]),
    curve=power_floor,
    log_curve=_floor_log_curve,
    log_jacobian=_floor_log_jacobian,
    starts=_floor_starts,
    natural=_floor_natural,
)
