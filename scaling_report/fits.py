"""Data and a law -> a fit, a frozen value: robust, from many starts, many data sets at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eval.files import InputError
from scaling_report.laws import LAWS, Array, Law
from scaling_report.losses import HUBER, LEAST_SQUARES, LOSSES, Loss
from scaling_report.solver import MAX_STEPS, descend, find_corner, objective_of

SCOUTING_STEPS = 10  # from every start, before the best of them goes on
STARTS = 64  # of a published grid
_ROUNDS = (5, 10, 20, 40, MAX_STEPS)  # steps, after each of which those that came together go on as one
_TOGETHER = 2  # digits of the working parameters that agree
SAME_OPTIMUM = 1e-3  # of the objective: starts that come as near as this have found it


@dataclass(frozen=True)
class FitResult:
    """A law on data. `converged`: the solver arrived. `identified`: the data pin the parameters down.

    `parameters` are the formula's, in the data's own units. `objective` is the weighted sum (or mean) of the
    `loss`. `log_residuals` are ln y - ln fit (of shares: of log-odds), in the order of the data; `sizes` the
    distinct places that they stand at. `at_bound` names the parameters that ended at the edge of what is
    allowed. `arrived` is the share of the law's published starts that came to this optimum, None where it has
    none, and for absolute losses, which are come to by way of others. `condition`: of the residuals'
    derivatives, each scaled to length one. `second_opinion` are the parameters by plain least squares,
    `theta` the solver's at the optimum.
    """

    law: str
    parameters: Mapping[str, float]
    n: int
    sizes: int
    objective: float
    converged: bool
    at_bound: tuple[str, ...]
    log_residuals: tuple[float, ...]
    second_opinion: Mapping[str, float]
    loss: str = HUBER.name
    arrived: float | None = None
    condition: float | None = None
    theta: tuple[float, ...] = ()

    @property
    def identified(self) -> bool:
        """Enough sizes for the law, and no parameter at a bound."""
        return self.sizes >= LAWS[self.law].sizes_needed and not self.at_bound

    def predict(self, x: Sequence[float] | Array) -> Array:
        """The curve at `x`, (n,) or one row an input, in the units of y: (n,)."""
        parameters = np.array([list(self.parameters.values())])
        return LAWS[self.law].predict(np.asarray(x, dtype=float), parameters)[0]


@dataclass(frozen=True)
class Solutions:
    """Fits of one law to R data sets over the same x, the parameters (R, P) being the formula's."""

    law: Law
    parameters: Array
    objective: Array
    converged: np.ndarray
    at_bound: np.ndarray  # (R, P)

    def select(self, wanted: np.ndarray) -> Solutions:
        """The solutions where `wanted` (R,) is true."""
        return Solutions(
            self.law,
            self.parameters[wanted],
            self.objective[wanted],
            self.converged[wanted],
            self.at_bound[wanted],
        )

    def predict(self, x: Array) -> Array:
        """Every fit's curve at `x`, (n,) or one row an input: (R, n)."""
        return self.law.predict(x, self.parameters)


@dataclass(frozen=True)
class Scaled:
    """Data in the solver's units."""

    u: Array
    v: Array  # (R, n)
    x0: Array | float
    y0: float


def fit(
    law: str,
    x: Sequence[float] | Array,
    y: Sequence[float] | Array,
    *,
    weights: Sequence[float] | Array | None = None,
    loss: Loss | str = HUBER,
    starts: int = STARTS,
) -> FitResult:
    """Fit one law to x, (n,) or one row an input, and y (n,), all above zero.

    Every point weighs one unless `weights` says otherwise. The best of many starts is kept: of the law's own,
    and of at most `starts` of those that a publication used, drawn once. Raises `InputError` for data that no
    law can be fitted to, and for fewer distinct sizes than the law has parameters.
    """
    known, loss = LAWS[law], LOSSES[loss] if isinstance(loss, str) else loss
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    weight = np.ones_like(y) if weights is None else np.asarray(weights, dtype=float)
    sizes = np.unique(x[..., weight > 0], axis=-1).shape[-1]
    _check(known, x, y, sizes)
    scaled = scale(known, x, y[None])
    theta, objective, converged, arrived = _best(known, scaled, weight, loss, starts)
    at_bound = (theta <= known.lower) | (theta >= known.upper)
    parameters = known.natural(theta, scaled.x0, scaled.y0)
    squares = fit_many(known, x, y[None], weights=weight[None], loss=LEAST_SQUARES, scouting_steps=MAX_STEPS)
    total = float(weight.sum())
    unit = (1.0 if loss.logarithm or not loss.absolute else scaled.y0) / (total if loss.mean else 1.0)
    return FitResult(
        law=law,
        parameters=_named(known, parameters),
        n=int((weight > 0).sum()),
        sizes=sizes,
        objective=objective * unit,
        converged=converged,
        at_bound=tuple(np.array(known.parameters)[at_bound].tolist()),
        log_residuals=tuple(
            (known.link.to(y) - known.link.to(known.predict(x, parameters[None])[0])).tolist()
        ),
        second_opinion=_named(known, squares.parameters[0]),
        loss=loss.name,
        arrived=arrived,
        condition=_condition(known, scaled, theta),
        theta=tuple(theta.tolist()),
    )


def fit_many(
    law: Law,
    x: Array,
    y: Array,
    *,
    weights: Array | None = None,
    loss: Loss = HUBER,
    scouting_steps: int = SCOUTING_STEPS,
) -> Solutions:
    """Fit a law to each row of y (R, n) over x, each from its own starts. Inputs are taken as checked.

    After `scouting_steps` only the best of a row's starts goes on: over hundreds of refits that costs nothing
    that a band could show, and saves most of the time.
    """
    weights = np.ones_like(y) if weights is None else weights
    scaled = scale(law, x, y)
    u, v = scaled.u, scaled.v
    starts = np.clip(law.starts(u, v, weights), law.lower, law.upper)  # (R, S, P)
    replicates, per_row, width = starts.shape
    first, *others = loss.stages
    theta, objective, _ = descend(
        law,
        u,
        np.repeat(v, per_row, axis=0),
        np.repeat(weights, per_row, axis=0),
        starts.reshape(-1, width),
        first,
        scouting_steps,
    )
    best = objective.reshape(replicates, per_row).argmin(axis=1) + np.arange(replicates) * per_row
    theta, objective, converged = descend(law, u, v, weights, theta[best], first)
    for stage in others:
        theta, objective, converged = descend(law, u, v, weights, theta, stage)
    return Solutions(
        law=law,
        parameters=law.natural(theta, scaled.x0, scaled.y0),
        objective=objective,
        converged=converged,
        at_bound=(theta <= law.lower) | (theta >= law.upper),
    )


def _best(
    law: Law, scaled: Scaled, weights: Array, loss: Loss, most: int
) -> tuple[Array, float, bool, float | None]:
    """Theta (P,), its objective, whether the solver arrived, and the share of published starts that did."""
    u, v = scaled.u, scaled.v
    starts = law.starts(u, v, weights[None])[0]
    own = len(starts)
    if law.grid is not None and most:
        grid = law.grid(scaled.x0, scaled.y0)
        chosen = np.random.default_rng(0).permutation(len(grid))[:most]
        starts = np.concatenate([starts, grid[chosen]])
    theta, objective, converged = _from_all(law, u, v, weights, starts, loss.stages[0])
    best = int(objective.argmin())
    near = objective[own:] <= objective[best] * (1 + SAME_OPTIMUM) + 1e-20
    arrived = float(near.mean()) if len(near) else None
    found, arrived_there = theta[best : best + 1], bool(converged[best])
    for stage in loss.stages[1:]:
        found, _, done = descend(law, u, v, weights[None], found, stage)
        arrived_there = bool(done[0])
    if loss.absolute:
        # no share of starts: they came to a smooth loss's optimum
        return *find_corner(law, u, v[0], weights, found[0], loss), None
    value = float(objective_of(law, u, v, weights[None], found, loss)[0])
    return found[0], value, arrived_there, arrived


def _from_all(
    law: Law, u: Array, v: Array, weights: Array, starts: Array, loss: Loss
) -> tuple[Array, Array, np.ndarray]:
    """Where the descent from each start ends; starts whose ways have come together go on as one."""
    theta = np.clip(starts, law.lower, law.upper)
    goes_with = np.arange(len(starts))
    for steps in _ROUNDS:
        rows = np.broadcast_to(v, (len(theta), v.shape[-1]))
        theta, objective, converged = descend(
            law, u, rows, np.broadcast_to(weights, rows.shape), theta, loss, steps
        )
        order = np.argsort(objective, kind="stable")
        _, heads, group = np.unique(
            np.round(theta[order], _TOGETHER), axis=0, return_index=True, return_inverse=True
        )
        members = np.empty_like(order)
        members[order] = group.reshape(-1)
        goes_with, heads = members[goes_with], order[heads]  # the best of each group leads it
        theta, objective, converged = theta[heads], objective[heads], converged[heads]
    return theta[goes_with], objective[goes_with], converged[goes_with]


def scale(law: Law, x: Array, y: Array) -> Scaled:
    """x and y over their geometric means; shares as they are."""
    x0 = np.exp(np.log(x).mean(axis=-1))
    if law.scaled_as is not None:
        x0 = x0[list(law.scaled_as)]
    y0 = 1.0 if law.of_shares else float(np.exp(np.log(y).mean()))
    return Scaled(x / x0[..., None], y / y0, x0, y0)


def _condition(law: Law, scaled: Scaled, theta: Array) -> float:
    slopes = law.log_jacobian(theta[None], scaled.u)[0]
    lengths = np.maximum(np.linalg.norm(slopes, axis=0), 1e-300)
    return float(np.linalg.cond(slopes / lengths))


def _check(law: Law, x: Array, y: Array, sizes: int) -> None:
    inputs = zip(law.inputs, x.reshape(len(law.inputs), -1), strict=True)
    for name, values in (*inputs, ("y", y)):
        bad = values[~(np.isfinite(values) & (values > 0))]
        if bad.size:
            raise InputError(
                f"fit of {law.name}: {name} has {bad[0]}; the law needs finite numbers above zero"
            )
    if law.of_shares and (y >= 1).any():
        raise InputError(
            f"fit of {law.name}: y has {y.max():g}; the law is of shares, between zero and one: "
            "divide percentages by 100, leave out what is 1"
        )
    if sizes < len(law.parameters):
        what = "x" if len(law.inputs) == 1 else f"pairs of {' and '.join(law.inputs)}"
        raise InputError(
            f"fit of {law.name}: {sizes} distinct {what} for {len(law.parameters)} parameters; "
            "measure more sizes"
        )


def _named(law: Law, parameters: Array) -> dict[str, float]:
    return dict(zip(law.parameters, parameters.tolist(), strict=True))
