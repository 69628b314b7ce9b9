"""Kaplan's joint law of size and data."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from scaling_report.laws.build import Parameter, build_law, cross
from scaling_report.laws.law import EXPONENT_MAX, Array


def kaplan(n: Array, d: Array, Nc: Array, Dc: Array, aN: Array, aD: Array) -> Array:
    """L = ((Nc/N)^(aN/aD) + Dc/D)^aD. Kaplan et al. 2020 (arXiv:2001.08361), eq. 1.5."""
    return ((Nc / n) ** (aN / aD) + Dc / d) ** aD


def _grid(u: Array) -> Mapping[str, Array]:
    """Exponents, and how the loss at the middle of the data is shared among the two terms."""
    points = cross(
        {
            "aN": np.geomspace(0.02, 1.5, 10),
            "aD": np.geomspace(0.02, 1.5, 10),
            "share": [0.1, 0.35, 0.65, 0.9],
        }
    )
    share = points.pop("share")
    return points | {"Nc": share ** (points["aD"] / points["aN"]), "Dc": 1 - share}


KAPLAN = build_law(
    "kaplan",
    kaplan,
    "L = ((Nc/N)^(aN/aD) + Dc/D)^aD",
    "Kaplan et al. 2020",
    [
        Parameter("Nc", 1e-200, logarithm=True, unit=lambda p, x0, y0: x0[0] * y0 ** (1 / p["aN"])),
        Parameter("Dc", 1e-200, logarithm=True, unit=lambda p, x0, y0: x0[1] * y0 ** (1 / p["aD"])),
        Parameter("aN", 0.01, EXPONENT_MAX),
        Parameter("aD", 0.01, EXPONENT_MAX),
    ],
    inputs=("n", "d"),
    grid=_grid,
)
