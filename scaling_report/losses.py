"""What a fit minimises: a sum over points of a loss of how far the curve lies from the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scaling_report.laws import Array

DELTA = 1e-3  # of ln residuals; Hoffmann et al. 2022 (arXiv:2203.15556), appendix D.3
_SOFTENED = (1e-2, 1e-3, 1e-4, 1e-5)  # the deltas by which an absolute loss is approached


@dataclass(frozen=True)
class Loss:
    """A loss of residuals, curve less data. `logarithm`: of ln y; else of y itself.

    Up to `delta` it is half the square, beyond a straight line: Huber's. Infinite delta is least squares;
    with `absolute` it is the absolute value, which is solved by way of ever smaller deltas. `above` weighs
    points that the curve lies above. `mean`: the objective is told as a mean over points, not as their sum.
    """

    name: str
    logarithm: bool = True
    delta: float = DELTA
    absolute: bool = False
    above: float = 1.0
    mean: bool = False

    @property
    def stages(self) -> tuple[Loss, ...]:
        """The smooth losses that are minimised one after the other."""
        if not self.absolute:
            return (self,)
        return tuple(Loss(self.name, self.logarithm, delta=delta, above=self.above) for delta in _SOFTENED)

    def of(self, residuals: Array) -> Array:
        """The loss of each residual."""
        loss = np.abs(residuals) if self.absolute else huber(residuals, self.delta)
        return loss if self.above == 1 else self.sides(residuals) * loss

    def sides(self, residuals: Array) -> Array:
        """How much a point weighs for lying where it does."""
        return np.where(residuals > 0, self.above, 1.0)


def huber(residuals: Array, delta: float) -> Array:
    """r²/2 up to `delta`, then a straight line: delta·(|r| - delta/2). Infinite delta is half the square."""
    near = residuals.clip(-delta, delta)
    return near * (residuals - near / 2)


HUBER = Loss("huber")
LEAST_SQUARES = Loss("least-squares", delta=np.inf)
LOSSES: Mapping[str, Loss] = {
    loss.name: loss
    for loss in (
        HUBER,
        LEAST_SQUARES,
        Loss("lad", absolute=True),
        # Takano 2024 (the `chinchilla` package): the curve hugs the floor of the data
        Loss("asymmetric", logarithm=False, absolute=True, above=10.0, mean=True),
    )
}
