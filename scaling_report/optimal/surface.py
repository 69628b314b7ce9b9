"""What size and data cost, and the closed form of the cheapest way down Chinchilla's surface."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scaling_report.laws import Array

EVEN = 0.02  # relative error up to which C = k·N·D will do
PARAMETERS = ("E", "A", "B", "alpha", "beta")


@dataclass(frozen=True)
class Cost:
    """C = k·N^p·D, fitted to the runs' own FLOPs; `worst` is its largest relative error among them.

    p is 1 where that describes every run to within `EVEN`. It does not for small models whose N leaves out
    the output head, and where attention counts.
    """

    k: float
    p: float
    worst: float

    def tokens(self, c: Array | float, n: Array | float) -> Array:
        """The tokens that `c` FLOPs pay for at size `n`."""
        return np.asarray(c / (self.k * n**self.p))

    def flops(self, n: Array | float, d: Array | float) -> Array:
        """Training FLOPs of `d` tokens at size `n`."""
        return np.asarray(self.k * n**self.p * d)

    @property
    def formula(self) -> str:
        """C = 6.00·N·D, say."""
        power = "N" if self.p == 1 else f"N^{self.p:.3f}"
        return f"C = {self.k:.3g}·{power}·D"


def fit_cost(n: Array, d: Array, c: Array) -> Cost:
    """The cost of n parameters and d tokens that the runs' FLOPs c show, all (runs,)."""
    log_n, log_k = np.log(n), np.log(c / (n * d))
    k = float(np.exp(log_k.mean()))
    worst = float(np.exp(np.abs(log_k - np.log(k)).max()) - 1)
    if worst <= EVEN or np.ptp(log_n) == 0:
        return Cost(k, 1.0, worst)
    slope, level = np.polyfit(log_n, log_k, 1)
    worst = float(np.exp(np.abs(log_k - level - slope * log_n).max()) - 1)
    return Cost(float(np.exp(level)), 1 + float(slope), worst)


@dataclass(frozen=True)
class Surface:
    """L = E + A/N^alpha + B/D^beta at a cost. `parameters` (R, 5) in that order: R surfaces at once."""

    parameters: Array
    cost: Cost

    @classmethod
    def of(cls, parameters: Mapping[str, float], cost: Cost) -> Surface:
        """One surface from named parameters."""
        return cls(np.array([[parameters[name] for name in PARAMETERS]]), cost)

    def _columns(self) -> tuple[Array, ...]:
        return tuple(self.parameters[:, [i]] for i in range(5))

    @property
    def exponents(self) -> tuple[Array, Array]:
        """How N* and D* grow with C, (R,) each: beta/(alpha + p·beta), Hoffmann 2022 eq. 4 at p = 1."""
        _, _, _, alpha, beta = self._columns()
        of_n = (beta / (alpha + self.cost.p * beta))[:, 0]
        return of_n, 1 - self.cost.p * of_n

    def best(self, c: Array | float) -> tuple[Array, Array, Array]:
        """N*, D* and their loss at budgets `c` (m,) in FLOPs: (R, m) each.

        N* = (alpha·A/(p·beta·B))^(1/(alpha + p·beta))·(C/k)^(beta/(alpha + p·beta)), D* = C/(k·N*^p).
        """
        _, a, b, alpha, beta = self._columns()
        p, c = self.cost.p, np.atleast_1d(np.asarray(c, dtype=float))
        with np.errstate(all="ignore"):
            log_g = np.log(alpha * a / (p * beta * b))
            n = np.exp((log_g + beta * np.log(c / self.cost.k)) / (alpha + p * beta))
            d = self.cost.tokens(c, n)
        return n, d, self.loss(n, d)

    def loss(self, n: Array, d: Array) -> Array:
        """Of each surface at n, d, (m,) or (R, m): (R, m)."""
        e, a, b, alpha, beta = self._columns()
        with np.errstate(all="ignore"):
            return np.asarray(e + a * n**-alpha + b * d**-beta)

    def off_size(self, c: float, ratio: float) -> tuple[Array, Array]:
        """A model `ratio` times the best size at `c` FLOPs: loss above the best one's, and how many times the
        FLOPs it takes to reach the best one's loss (NaN where no amount of data does), (R,) each.
        """
        e, a, b, alpha, beta = self._columns()
        n, d, best = self.best(c)
        size = ratio * n
        penalty = self.loss(size, self.cost.tokens(c, size)) - best
        with np.errstate(all="ignore"):
            left = best - e - a * size**-alpha
            needed = np.where(left > 0, (b / np.where(left > 0, left, 1)) ** (1 / beta), np.nan)
            times = ratio**self.cost.p * needed / d
        return penalty[:, 0], times[:, 0]
