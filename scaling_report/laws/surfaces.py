"""Laws of size and data: losses as functions of N and D."""

from __future__ import annotations

import itertools

import numpy as np

from scaling_report.laws.law import EXPONENT_MAX, SMALLEST_SHARE, Array, Law

_LOWEST = float(np.log(SMALLEST_SHARE))
_EXPONENTS = np.geomspace(0.03, 2.0, 12)  # of variable projection, for each of the two
_HALVES = 2  # the best of each quarter of the grid becomes a start


def chinchilla(n: Array, d: Array, E: float, A: float, B: float, alpha: float, beta: float) -> Array:
    """L = E + A/N^alpha + B/D^beta. Hoffmann et al. 2022 (arXiv:2203.15556), eq. 2."""
    return E + A * n**-alpha + B * d**-beta


def _log_both(theta: Array, u: Array) -> tuple[Array, Array]:
    """ln v (..., n) and its derivatives (..., P, n).

    theta is (e, a, b, alpha, beta), the first three being logarithms.
    """
    e, a, b, alpha, beta = (theta[..., i, None] for i in range(5))
    log_n, log_d = np.log(u)
    slopes = np.empty((*theta.shape, u.shape[-1]))
    floor, of_n, of_d = slopes[..., 0, :], slopes[..., 1, :], slopes[..., 2, :]
    floor[...] = np.exp(e)
    np.exp(a - alpha * log_n, out=of_n)
    np.exp(b - beta * log_d, out=of_d)
    curve = floor + of_n + of_d
    slopes[..., :3, :] /= curve[..., None, :]
    np.multiply(of_n, -log_n, out=slopes[..., 3, :])
    np.multiply(of_d, -log_d, out=slopes[..., 4, :])
    return np.log(curve), slopes


def _log_curve(theta: Array, u: Array) -> Array:
    e, a, b, alpha, beta = (theta[..., i, None] for i in range(5))
    log_n, log_d = np.log(u)
    return np.log(np.exp(e) + np.exp(a - alpha * log_n) + np.exp(b - beta * log_d))


def _log_jacobian(theta: Array, u: Array) -> Array:
    return _log_both(theta, u)[1].swapaxes(-1, -2)


def _starts(u: Array, v: Array, weights: Array) -> Array:
    """Variable projection (Golub & Pereyra 1973): for each pair of exponents the best three coefficients.

    Least squares of relative residuals, so nearly of ln v, coefficients below zero set to next to nothing.
    """
    pairs = np.array(list(itertools.product(_EXPONENTS, _EXPONENTS)))  # (G, 2)
    shapes = np.stack(
        [np.ones((len(pairs), u.shape[-1])), u[0] ** -pairs[:, :1], u[1] ** -pairs[:, 1:]], axis=1
    )  # (G, 3, n)
    relative = weights / v**2  # (R, n)
    products = shapes[:, :, None] * shapes[:, None]  # (G, 3, 3, n)
    normal = np.einsum("rn,gijn->rgij", relative, products, optimize=True)
    wanted = np.einsum("rn,gin->rgi", relative * v, shapes, optimize=True)
    ridge = 1e-10 * np.trace(normal, axis1=-2, axis2=-1)[..., None, None] * np.eye(3)
    found = np.linalg.solve(normal + ridge, wanted[..., None])[..., 0].clip(SMALLEST_SHARE)
    loss = ((normal @ found[..., None])[..., 0] * found).sum(-1) - 2 * (wanted * found).sum(-1)
    half = np.searchsorted(_EXPONENTS, _EXPONENTS[len(_EXPONENTS) // _HALVES])
    quarter = (pairs[:, 0] >= _EXPONENTS[half]) * 2 + (pairs[:, 1] >= _EXPONENTS[half])
    rows, best = np.arange(len(v)), []
    for place in range(_HALVES**2):
        members = np.flatnonzero(quarter == place)
        chosen = members[loss[:, members].argmin(axis=-1)]
        best.append(np.concatenate([np.log(found[rows, chosen]), pairs[chosen]], axis=-1))
    return np.stack(best, axis=1)


def _natural(theta: Array, x0: Array, y0: float) -> Array:
    e, a, b, alpha, beta = np.moveaxis(theta, -1, 0)
    n0, d0 = x0
    return np.stack(
        [y0 * np.exp(e), y0 * np.exp(a) * n0**alpha, y0 * np.exp(b) * d0**beta, alpha, beta], axis=-1
    )


def _grid(x0: Array, y0: float) -> Array:
    """Hoffmann et al.'s 4,500 starts (appendix D.3): logs of E, A, B and both exponents.

    Many have a term that is nothing beside the data; the solver lifts it to its smallest share.
    """
    exponents = np.arange(0, 2.5, 0.5)
    logs, floors = np.arange(0, 30, 5.0), np.arange(-1, 1.5, 0.5)
    e, a, b, alpha, beta = np.array(list(itertools.product(floors, logs, logs, exponents, exponents))).T
    log_n, log_d = np.log(x0)
    log_y = np.log(y0)
    return np.stack([e - log_y, a - alpha * log_n - log_y, b - beta * log_d - log_y, alpha, beta], axis=-1)


CHINCHILLA = Law(
    name="chinchilla",
    formula="L = E + A/N^alpha + B/D^beta",
    source="Hoffmann et al. 2022",
    parameters=("E", "A", "B", "alpha", "beta"),
    inputs=("n", "d"),
    lower=np.array([_LOWEST, _LOWEST, _LOWEST, 0.0, 0.0]),
    upper=np.array([np.inf, np.inf, np.inf, EXPONENT_MAX, EXPONENT_MAX]),
    curve=chinchilla,
    log_curve=_log_curve,
    log_jacobian=_log_jacobian,
    starts=_starts,
    natural=_natural,
    grid=_grid,
    log_both=_log_both,
)
