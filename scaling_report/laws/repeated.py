"""The law of size and data where data are seen more than once."""

from __future__ import annotations

from typing import Any

import numpy as np

from scaling_report.laws.build import Parameter, build_law, cross, project
from scaling_report.laws.law import EXPONENT_MAX, LOG, SMALLEST_SHARE, Array

_FLATTEST = 0.02  # exponent, by which the best size divides
_LEAST, _MOST = 0.01, 1e4  # of RD and RN: repeats worth nothing, and repeats as good as new
_LOGS = [0, 1, 2, 5, 6]  # parameters that are worked with as logarithms
_NAMES = ("E", "A", "B", "alpha", "beta", "RD", "RN")


def repeated(
    n: Array,
    d: Array,
    u: Array,
    E: Array,
    A: Array,
    B: Array,
    alpha: Array,
    beta: Array,
    RD: Array,
    RN: Array,
) -> Array:
    """L = E + A/N'^alpha + B/D'^beta, N parameters, D tokens, u unique tokens.

    Muennighoff et al. 2023 (arXiv:2305.16264), eqs. 5 to 7: D' = U_D + U_D·RD·(1 - e^(-R_D/RD)) with U_D =
    min(u, D) and R_D = D/U_D - 1 repeats; N' likewise from U_N, the smaller of N and of the size that is best
    for U_D tokens seen once, and R_N = N/U_N - 1. RD and RN are the paper's R_D* and R_N*. The best size is
    Hoffmann et al.'s (2022, eq. 4): (U_D·G)^(beta/alpha)·G, G = (alpha·A/(beta·B))^(1/(alpha+beta)).
    """
    unique = np.minimum(u, d)
    return _of_best(n, d, unique, E, A, B, alpha, beta, RD, RN, best_size(unique, A, B, alpha, beta))


def best_size(tokens: Array, A: Array, B: Array, alpha: Array, beta: Array) -> Array:
    """The parameters that are best for `tokens` seen once: where a FLOP more is worth as much in either."""
    balance = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
    return (tokens * balance) ** (beta / alpha) * balance


def _of_best(
    n: Array,
    d: Array,
    unique: Array,
    E: Array,
    A: Array,
    B: Array,
    alpha: Array,
    beta: Array,
    RD: Array,
    RN: Array,
    best: Array,
) -> Array:
    tokens = _worth(d, unique, RD)
    size = _worth(n, np.where(np.real(best) < n, best, n), RN)
    return E + A * size**-alpha + B * tokens**-beta


def _worth(total: Array, once: Array, scale: Array) -> Array:
    """What `total` is worth of which `once` is new: each repeat less by e^(-1/scale)."""
    repeats = total / once - 1
    return once * (1 - scale * np.expm1(-repeats / scale))


def _starts(u: Array, v: Array, weights: Array) -> Array:
    """Variable projection for E, A and B, the best size for a token being one of the grid's coordinates."""
    points = cross(
        {
            "RD": [1.0, 5.0, 30.0],
            "RN": [1.0, 8.0],
            "alpha": [0.15, 0.3, 0.5, 0.9],
            "beta": [0.15, 0.3, 0.5, 0.9],
            "best": [0.1, 0.5, 2.0, 10.0],
        }
    )

    def curve(n: Array, d: Array, u: Array, *parameters: Any) -> Array:
        E, A, B, alpha, beta, RD, RN, best = parameters
        unique = np.minimum(u, d)
        return _of_best(n, d, unique, E, A, B, alpha, beta, RD, RN, best * unique ** (beta / alpha))

    low = np.array([SMALLEST_SHARE] * 3 + [_FLATTEST] * 2 + [_LEAST] * 2 + [0.0])
    high = np.array([np.inf] * 3 + [EXPONENT_MAX] * 2 + [_MOST] * 2 + [np.inf])
    found = project(curve, (*_NAMES, "best"), points, u, v, weights, low, high, LOG)[..., :-1]
    found[..., _LOGS] = np.log(found[..., _LOGS])
    return found


def _coefficient(name: str, place: int, exponent: str) -> Parameter:
    """Of the input at `place` to the power of minus the exponent."""
    return Parameter(
        name, SMALLEST_SHARE, logarithm=True, unit=lambda p, x0, y0: y0 * x0[place] ** p[exponent]
    )


REPEATED = build_law(
    "repeated",
    repeated,
    "L = E + A/N'^alpha + B/D'^beta, D' = U + U·RD·(1 - e^(-R/RD)), R = D/U - 1, N' likewise",
    "Muennighoff et al. 2023",
    [
        Parameter("E", SMALLEST_SHARE, logarithm=True, unit=lambda p, x0, y0: np.asarray(y0)),
        _coefficient("A", 0, "alpha"),
        _coefficient("B", 1, "beta"),
        Parameter("alpha", _FLATTEST, EXPONENT_MAX),
        Parameter("beta", _FLATTEST, EXPONENT_MAX),
        Parameter("RD", _LEAST, _MOST, logarithm=True),
        Parameter("RN", _LEAST, _MOST, logarithm=True),
    ],
    inputs=("n", "d", "u"),
    scaled_as=(0, 1, 1),
    starts=_starts,
)
