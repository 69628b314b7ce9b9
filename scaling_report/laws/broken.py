"""Smoothly broken power laws, of one break or two."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from scaling_report.laws.build import Parameter, Unit, build_law, cross
from scaling_report.laws.law import EXPONENT_MAX, SMALLEST_SHARE, Array, Law

_SHARPEST, _SOFTEST = 0.02, 4.0  # f: decades, nearly, that a break takes
_FARTHEST = 1e9  # of a break from the middle of the data


def bnsl(x: Array, a: Array, b: Array, c0: Array, *breaks: Array) -> Array:
    """y = a + b·x^-c0·Π (1 + (x/d_i)^(1/f_i))^(-c_i·f_i), called with c1, d1, f1 and so on.

    Caballero et al. 2022 (arXiv:2210.14891), eq. 1: at each break d_i the exponent grows by c_i, within a
    stretch as wide as f_i.
    """
    log_falling = -c0 * np.log(x)
    for c, d, f in zip(breaks[::3], breaks[1::3], breaks[2::3], strict=True):
        log_falling = log_falling - c * f * _softplus(np.log(x / d) / f)
    return a + b * np.exp(log_falling)


def _softplus(z: Array) -> Array:
    """ln(1 + e^z), of complex numbers, too, and without overflow."""
    above = z.real > 0
    return np.where(above, z, 0) + np.log1p(np.exp(np.where(above, -z, z)))


def _grid(breaks: int) -> Callable[[Array], Mapping[str, Array]]:
    def of(u: Array) -> Mapping[str, Array]:
        low, high = np.log(u.min()), np.log(u.max())
        places = np.exp(low + (high - low) * np.linspace(0.15, 0.85, 6 if breaks == 1 else 4))
        grids: dict[str, Array] = {"c0": np.array([-0.3, 0.0, 0.1, 0.3, 0.7, 1.2])}
        for one in range(1, breaks + 1):
            grids[f"d{one}"] = places
            grids[f"c{one}"] = np.array([-0.8, -0.3, 0.2, 0.6, 1.5] if breaks == 1 else [-0.5, 0.3, 1.0])
            grids[f"f{one}"] = np.array([0.1, 0.4, 1.0] if breaks == 1 else [0.25])
        # places vary slowest, so that every start has its own
        points = cross({name: grids[name] for name in sorted(grids, key=lambda name: name[0] != "d")})
        ordered = np.ones(len(points["c0"]), dtype=bool)
        for one in range(1, breaks):
            ordered &= points[f"d{one}"] < points[f"d{one + 1}"]
        return {name: column[ordered] for name, column in points.items()}

    return of


def _falling(p: Mapping[str, Array], x0: Array, y0: float) -> Array:
    return y0 * x0[0] ** p["c0"]


def _of_break(one: int) -> list[Parameter]:
    place: Unit = lambda p, x0, y0: x0[0]  # noqa: E731
    return [
        Parameter(f"c{one}", -2 * EXPONENT_MAX, 2 * EXPONENT_MAX),
        Parameter(f"d{one}", 1 / _FARTHEST, _FARTHEST, logarithm=True, unit=place),
        Parameter(f"f{one}", _SHARPEST, _SOFTEST, logarithm=True),
    ]


def _broken(breaks: int) -> Law:
    factors = "".join(f"·(1+(x/d{i})^(1/f{i}))^(-c{i}·f{i})" for i in range(1, breaks + 1))
    return build_law(
        "bnsl" if breaks == 1 else f"bnsl-{breaks}",
        bnsl,
        f"y = a + b·x^-c0{factors}",
        "Caballero et al. 2022",
        [
            Parameter("a", 0.0, unit=lambda p, x0, y0: np.asarray(y0)),
            Parameter("b", SMALLEST_SHARE, unit=_falling),
            Parameter("c0", -EXPONENT_MAX, EXPONENT_MAX),
            *(one for i in range(1, breaks + 1) for one in _of_break(i)),
        ],
        grid=_grid(breaks),
        patience=10,
    )


BNSL, BNSL_2 = _broken(1), _broken(2)
