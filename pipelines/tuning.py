"""From a sweep's losses to the factor that a ladder's learning rates are multiplied with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class RungOptimum:
    """The best factor of one rung, between the tried ones where a parabola has its lowest point there."""

    rung: str
    factor: float
    loss: float
    at_edge: bool
    """Whether the best tried factor is the smallest or largest that trained: the optimum may lie beyond."""


@dataclass(frozen=True)
class Choice:
    """What a sweep says. The factor is the same for every size: the rule itself carries the rate upwards."""

    factor: float
    optima: tuple[RungOptimum, ...]
    warnings: tuple[str, ...]

    def factor_for(self, size: int) -> float:
        """What the rule's rate is multiplied with at a size."""
        return self.factor

    def to_json(self) -> dict[str, Any]:
        """The choice with what it rests on, for a file."""
        return {
            "factor": self.factor,
            "optima": [vars(optimum) for optimum in self.optima],
            "warnings": list(self.warnings),
        }


def choose(points: Mapping[str, Mapping[float, float | None]], sizes: Mapping[str, int]) -> Choice:
    """The factor with the least loss: `points` has, by rung, the loss at each factor (None: diverged).

    A parabola in the factor's logarithm through the best tried factor and its neighbours gives each rung's
    optimum. The ladder's is their geometric mean, weighted by size: what is carried up matters most at the
    top, and the larger rung is nearer to it. A drift over a few swept sizes is told, never extrapolated.
    A ladder whose every sweep diverged keeps its rule's rates, with a warning.
    """
    optima = tuple(
        optimum
        for rung in sorted(points, key=lambda rung: sizes[rung])
        if (optimum := _optimum(rung, points[rung])) is not None
    )
    if not optima:
        text = (
            "every learning rate of the sweep diverged; the rule's own is kept: lower training.tune.factors"
        )
        return Choice(1.0, (), (text,))
    weights = np.array([sizes[optimum.rung] for optimum in optima], dtype=float)
    logs = np.log([optimum.factor for optimum in optima])
    factor = float(np.exp(np.average(logs, weights=weights)))
    return Choice(factor, optima, tuple(_warnings(optima)))


def _optimum(rung: str, tried: Mapping[float, float | None]) -> RungOptimum | None:
    trained = sorted((factor, loss) for factor, loss in tried.items() if loss is not None)
    if not trained:
        return None
    best = min(range(len(trained)), key=lambda place: trained[place][1])
    factor, loss = trained[best]
    if best in (0, len(trained) - 1):
        return RungOptimum(rung, factor, loss, at_edge=True)
    near = trained[best - 1 : best + 2]
    logs = [math.log(one) for one, _ in near]
    curvature, slope, height = np.polyfit(np.array(logs) - logs[1], [value for _, value in near], 2)
    if curvature <= 0:  # three equal losses
        return RungOptimum(rung, factor, loss, at_edge=False)
    shift = -slope / (2 * curvature)  # the best is in the middle, so that this stays between its neighbours
    lowest = height + slope * shift / 2
    return RungOptimum(rung, math.exp(logs[1] + shift), float(lowest), at_edge=False)


def _warnings(optima: tuple[RungOptimum, ...]) -> list[str]:
    edges = [
        f"the best learning rate of {optimum.rung} is the last one tried, x{optimum.factor:g} of the rule's; "
        "widen training.tune.factors"
        for optimum in optima
        if optimum.at_edge
    ]
    factors = [optimum.factor for optimum in optima]
    if max(factors) / min(factors) > 2.0:
        seen = ", ".join(f"x{optimum.factor:.2g} at {optimum.rung}" for optimum in optima)
        edges.append(
            f"the best learning rates drift with size ({seen}); sweep more rungs: training.tune.rungs"
        )
    return edges
