"""From a sweep's losses to the factor that a ladder's learning rates are multiplied with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import linregress

SURE = 0.05  # a drift is carried up where chance alone would make one as straight less often than this
DRIFTS = 2.0  # best factors this far apart, as a ratio, are worth a warning


@dataclass(frozen=True)
class RungOptimum:
    """The best factor of one rung, between the tried ones where a parabola has its lowest point there."""

    rung: str
    size: int
    factor: float
    loss: float
    bounded: bool
    """Whether a worse loss stands on both sides; if not, the true optimum may lie beyond."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a sweep says: `factor`, at the size `at`, and the power of the size that it drifts with, or 0."""

    factor: float
    at: float
    drift: float
    why: str
    lowest: float
    highest: float
    optima: tuple[RungOptimum, ...]
    warnings: tuple[str, ...]

    def factor_for(self, size: int) -> float:
        """What the rule's rate is multiplied with at a size; never beyond the factors that were tried."""
        wanted = self.factor * (size / self.at) ** self.drift
        return min(max(wanted, self.lowest), self.highest)

    def to_json(self) -> dict[str, Any]:
        """The choice with what it rests on, for a file."""
        return asdict(self)


def choose(points: Mapping[str, Mapping[float, float | None]], sizes: Mapping[str, int]) -> Choice:
    """The factor with the least loss: `points` has, by rung, the loss at each factor (None: diverged).

    A parabola in the factor's logarithm, through the best tried factor and its neighbours, gives each rung's
    optimum. The rule itself carries the rate up, so that one factor should do for all sizes: the geometric
    mean of the optima, weighted by size, since the larger rungs are nearer to what is to be trained. Only
    where three or more rungs drift in a straight line (log-log, p < 0.05) is the drift carried up too, and
    never beyond the tried factors. If every sweep diverged the rule's rates are kept, with a warning.
    """
    warnings = []
    optima = []
    for rung in sorted(points, key=lambda rung: sizes[rung]):
        optimum, text = _optimum(rung, sizes[rung], points[rung])
        optima += [optimum] if optimum is not None else []
        warnings += [text] if text is not None else []
    if not optima:
        text = (
            "every learning rate of the sweep diverged; the rule's own is kept: lower training.tune.factors"
        )
        return _choice(1.0, 1.0, 0.0, "nothing trained", (1.0,), (), [text])
    tried = [factor for losses in points.values() for factor, loss in losses.items() if loss is not None]
    sound = [optimum for optimum in optima if optimum.bounded] or optima
    drift, why = _drift(sound)
    weights = [optimum.size for optimum in sound]
    factor = math.exp(np.average([math.log(optimum.factor) for optimum in sound], weights=weights))
    at = math.exp(np.average([math.log(optimum.size) for optimum in sound], weights=weights))
    factors = [optimum.factor for optimum in optima]
    if drift == 0.0 and max(factors) > DRIFTS * min(factors):
        seen = ", ".join(f"x{optimum.factor:.2g} at {optimum.rung}" for optimum in optima)
        warnings.append(
            f"the best learning rates differ between sizes ({seen}) and {why}; raise training.tune.rungs"
        )
    return _choice(factor, at, drift, why, tried, tuple(optima), warnings)


def _choice(
    factor: float,
    at: float,
    drift: float,
    why: str,
    tried: Sequence[float],
    optima: tuple[RungOptimum, ...],
    warnings: list[str],
) -> Choice:
    return Choice(
        factor=factor,
        at=at,
        drift=drift,
        why=why,
        lowest=min(tried),
        highest=max(tried),
        optima=optima,
        warnings=tuple(warnings),
    )


def _optimum(
    rung: str, size: int, losses: Mapping[float, float | None]
) -> tuple[RungOptimum | None, str | None]:
    """A rung's optimum, and what to tell of it; a factor that diverged is a wall beside the others."""
    tried = sorted(losses)
    trained = [(loss, place) for place, factor in enumerate(tried) if (loss := losses[factor]) is not None]
    if not trained:
        return None, f"every learning rate of {rung} diverged; lower training.tune.factors"
    loss, best = min(trained)
    factor = tried[best]
    if best in (0, len(tried) - 1):
        text = (
            f"the best learning rate of {rung} is the last one tried, x{factor:g} of the rule's; "
            "widen training.tune.factors"
        )
        return RungOptimum(rung, size, factor, loss, bounded=False), text
    near = [losses[one] for one in tried[best - 1 : best + 2]]
    if any(one is None for one in near):
        text = (
            f"the best learning rate of {rung}, x{factor:g} of the rule's, stands beside one that diverged; "
            "list closer training.tune.factors"
        )
        return RungOptimum(rung, size, factor, loss, bounded=True), text
    logs = np.log(tried[best - 1 : best + 2])
    curvature, slope, height = np.polyfit(logs - logs[1], np.array(near, dtype=float), 2)
    # the one before is worse and the one after no better: the parabola opens upwards, between the neighbours
    shift = -slope / (2 * curvature)
    lowest = float(height + slope * shift / 2)
    return RungOptimum(rung, size, math.exp(logs[1] + shift), lowest, bounded=True), None


def _drift(optima: Sequence[RungOptimum]) -> tuple[float, str]:
    """The power of the size that the best factor goes with, 0 where none is sure; and why."""
    if len(optima) < 3:
        return 0.0, "fewer than three rungs show no drift"
    line = linregress(
        [math.log(optimum.size) for optimum in optima], [math.log(optimum.factor) for optimum in optima]
    )
    if not line.pvalue < SURE:
        return 0.0, f"no drift is sure (p = {line.pvalue:.2f})"
    return float(line.slope), f"the best factor drifts with size (p = {line.pvalue:.3f})"
