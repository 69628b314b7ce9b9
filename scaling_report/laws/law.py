"""What a law is to the solver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

EXPONENT_MAX = 3.0  # steeper than any published exponent: a fit that ends here is not identified
SMALLEST_SHARE = 1e-9  # of the data's own scale: keeps a logarithm finite where a coefficient ends at zero


@dataclass(frozen=True)
class Link:
    """The scale on which runs scatter evenly about a law. `slope` is dy/dlink at a value of the link."""

    name: str
    to: Callable[[Array], Array]
    back: Callable[[Array], Array]
    slope: Callable[[Array], Array]


def _expit(odds: Array) -> Array:
    return (1 + np.tanh(odds / 2)) / 2


LOG = Link("ln y", np.log, np.exp, np.exp)
LOG_ODDS = Link(
    "the log-odds of y",
    lambda y: np.log(y / (1 - y)),
    _expit,
    lambda odds: _expit(odds) * _expit(-odds),
)
"""Of shares: what is added to log-odds stays between zero and one."""


@dataclass(frozen=True)
class Law:
    """A law as the solver sees it.

    `inputs` names what it is a function of: ("x",) for a curve, whose x is (n,); ("n", "d") for a surface,
    whose x is (2, n). The solver works on u = x/x0 and v = y/y0, x0 (of each input) and y0 being geometric
    means, with the law's own working parameters theta (..., P): there, unlike in raw units, the parameters
    are of order one and weakly correlated. `log_curve(theta (..., P), u)` is ln v (..., n); `log_jacobian`
    its derivative by theta (..., n, P); `starts(u, v (R, n), weights (R, n))` gives theta (R, S, P);
    `natural(theta, x0, y0)` the formula's parameters (..., P) in the order of `parameters`. `grid(x0, y0)`
    gives the starts (S, P) that a publication used, where there is one. `link` is what `log_curve` gives
    and residuals are of: ln v, or for shares the log-odds, where y0 is one. `scaled_as` names for each input
    the one whose x0 it shares, where two are of one kind. `patience` multiplies the solver's last steps, for
    laws whose valleys are long. `log_both` gives `log_curve` and the derivatives as (..., P, n) in one
    go, where that saves time.
    """

    name: str
    formula: str
    source: str
    parameters: tuple[str, ...]
    lower: Array
    upper: Array
    curve: Callable[..., Array]
    log_curve: Callable[[Array, Array], Array]
    log_jacobian: Callable[[Array, Array], Array]
    starts: Callable[[Array, Array, Array], Array]
    natural: Callable[..., Array]
    inputs: tuple[str, ...] = ("x",)
    grid: Callable[..., Array] | None = None
    link: Link = LOG
    scaled_as: tuple[int, ...] | None = None
    patience: int = 1
    log_both: Callable[[Array, Array], tuple[Array, Array]] | None = None

    @property
    def of_shares(self) -> bool:
        """Whether y lies between zero and one."""
        return self.link is LOG_ODDS

    @property
    def sizes_needed(self) -> int:
        """Distinct sizes below which the law would run through its points, leaving nothing to judge it by."""
        return len(self.parameters) + 1

    def predict(self, x: Array, parameters: Array) -> Array:
        """The curves of all `parameters` (R, P) at x, (n,) or one row an input: (R, n)."""
        rows = x.reshape(len(self.inputs), 1, -1)
        return self.curve(*rows, *(column[:, None] for column in parameters.T))
