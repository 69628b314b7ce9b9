"""Data and a law -> a fit, a frozen value: robust, from many starts, many data sets at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eval.files import InputError
from scaling_report.laws import LAWS, Array, Law

DELTA = 1e-3  # of ln residuals; Hoffmann et al. 2022 (arXiv:2203.15556), appendix D.3
SCOUTING_STEPS = 10  # from every start, before the best of them goes on
MAX_STEPS = 300
RELATIVE_GAIN = 1e-10  # of the objective in one step: less than this and the solver has arrived
SMALLEST_OBJECTIVE = 1e-28  # per point: residuals of 1e-14, the rounding of ln y
DAMPING_MAX = 1e10  # so short a step that the objective cannot fall any more


@dataclass(frozen=True)
class FitResult:
    """A law on data. `converged`: the solver arrived. `identified`: the data pin the parameters down.

    `parameters` are the formula's, in the data's own units. `objective` is the weighted sum of Huber losses
    of ln residuals. `log_residuals` are ln y - ln fit, in the order of the data. `at_bound` names the
    parameters that ended at the edge of what is allowed. `second_opinion` are the parameters by plain least
    squares of ln y.
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

    @property
    def identified(self) -> bool:
        """Enough sizes for the law, and no parameter at a bound."""
        return self.sizes >= LAWS[self.law].sizes_needed and not self.at_bound

    def predict(self, x: Sequence[float] | Array) -> Array:
        """The curve at `x` (n,), in the units of y."""
        return LAWS[self.law].curve(np.asarray(x, dtype=float), **self.parameters)


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
        """Every fit's curve at `x` (n,): (R, n)."""
        return self.law.curve(x[None, :], *(column[:, None] for column in self.parameters.T))


def fit(
    law: str,
    x: Sequence[float] | Array,
    y: Sequence[float] | Array,
    *,
    weights: Sequence[float] | Array | None = None,
    delta: float = DELTA,
) -> FitResult:
    """Fit one law to x and y (n,), both above zero, by the sum of Huber losses of ln y - ln fit.

    Every point weighs one unless `weights` says otherwise. The best of many starts is kept. Raises
    `InputError` for data that no law can be fitted to, and for fewer distinct sizes than the law has
    parameters.
    """
    known = LAWS[law]
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    weight = np.ones_like(x) if weights is None else np.asarray(weights, dtype=float)
    sizes = np.unique(x[weight > 0]).size
    _check(known, x, y, sizes)
    robust = fit_many(known, x, y[None], weights=weight[None], delta=delta, scouting_steps=MAX_STEPS)
    squares = fit_many(known, x, y[None], weights=weight[None], delta=np.inf, scouting_steps=MAX_STEPS)
    return FitResult(
        law=law,
        parameters=_named(known, robust.parameters[0]),
        n=int((weight > 0).sum()),
        sizes=sizes,
        objective=float(robust.objective[0]),
        converged=bool(robust.converged[0]),
        at_bound=tuple(np.array(known.parameters)[robust.at_bound[0]].tolist()),
        log_residuals=tuple((np.log(y) - np.log(robust.predict(x)[0])).tolist()),
        second_opinion=_named(known, squares.parameters[0]),
    )


def fit_many(
    law: Law,
    x: Array,
    y: Array,
    *,
    weights: Array | None = None,
    delta: float = DELTA,
    scouting_steps: int = SCOUTING_STEPS,
) -> Solutions:
    """Fit a law to each row of y (R, n) over x (n,), each from its own starts. Inputs are taken as checked.

    After `scouting_steps` only the best of a row's starts goes on: over hundreds of refits that costs nothing
    that a band could show, and saves most of the time.
    """
    weights = np.ones_like(y) if weights is None else weights
    x0, y0 = float(np.exp(np.log(x).mean())), float(np.exp(np.log(y).mean()))
    u, v = x / x0, y / y0
    starts = np.clip(law.starts(u, v, weights), law.lower, law.upper)  # (R, S, P)
    replicates, per_row, width = starts.shape
    theta, objective, _ = _descend(
        law,
        u,
        np.repeat(np.log(v), per_row, axis=0),
        np.repeat(weights, per_row, axis=0),
        starts.reshape(-1, width),
        delta,
        scouting_steps,
    )
    best = objective.reshape(replicates, per_row).argmin(axis=1) + np.arange(replicates) * per_row
    theta, objective, converged = _descend(law, u, np.log(v), weights, theta[best], delta, MAX_STEPS)
    return Solutions(
        law=law,
        parameters=law.natural(theta, x0, y0),
        objective=objective,
        converged=converged,
        at_bound=(theta <= law.lower) | (theta >= law.upper),
    )


def huber(residuals: Array, delta: float) -> Array:
    """r²/2 up to `delta`, then a straight line: delta·(|r| - delta/2). Infinite delta is half the square."""
    size = np.abs(residuals)
    if np.isinf(delta):
        return residuals**2 / 2
    return np.where(size <= delta, residuals**2 / 2, delta * (size - delta / 2))


def _descend(
    law: Law, u: Array, log_v: Array, weights: Array, theta: Array, delta: float, steps: int
) -> tuple[Array, Array, np.ndarray]:
    """Levenberg-Marquardt, all M problems (log_v (M, n), theta (M, P)) in step.

    A step that fails raises a problem's damping, one that succeeds lowers it; `_step` says what that does.
    Returns theta, objective (M,), and whether each problem arrived.
    """
    theta = theta.copy()
    objective = _objective(law, u, log_v, weights, theta, delta)
    damping = np.ones(len(theta))
    converged = np.zeros(len(theta), dtype=bool)
    enough = SMALLEST_OBJECTIVE * u.size
    active = np.arange(len(theta))
    for _ in range(steps):
        now = theta[active]
        step = _step(law, u, log_v[active], weights[active], now, delta, damping[active])
        trial = np.clip(now + step, law.lower, law.upper)
        reached = _objective(law, u, log_v[active], weights[active], trial, delta)
        gain = objective[active] - reached
        better = gain >= 0
        theta[active] = np.where(better[:, None], trial, now)
        done = better & (gain <= RELATIVE_GAIN * objective[active] + enough)
        objective[active] = np.where(better, reached, objective[active])
        damping[active] = np.where(better, np.maximum(damping[active] / 3, 1e-12), damping[active] * 10)
        done |= damping[active] > DAMPING_MAX
        converged[active[done]] = True
        active = active[~done]
        if not active.size:
            break
    return theta, objective, converged


def _objective(law: Law, u: Array, log_v: Array, weights: Array, theta: Array, delta: float) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):
        loss = (weights * huber(law.log_curve(theta, u) - log_v, delta)).sum(axis=-1)
    return np.where(np.isfinite(loss), loss, np.inf)


def _step(
    law: Law, u: Array, log_v: Array, weights: Array, theta: Array, delta: float, damping: Array
) -> np.ndarray:
    """One damped step (M, P).

    At full damping the curvature is that of weights w·min(1, delta/|r|), whose squares touch the Huber losses
    from above, so that the step cannot fail but may be slow (Holland & Welsch 1977); at none it is the loss's
    own, where points beyond delta have no curvature, and the step is Newton's (Madsen & Nielsen 1990).
    Parameters at a bound that pull outwards are held there.
    """
    residuals = law.log_curve(theta, u) - log_v
    jacobian = law.log_jacobian(theta, u)  # (M, n, P)
    size = np.abs(residuals)
    touching = np.minimum(1, delta / np.maximum(size, 1e-300))
    gradient = (jacobian.swapaxes(-1, -2) @ (weights * touching * residuals)[..., None])[..., 0]
    caution = np.minimum(1, damping)[:, None]
    curvature = weights * (caution * touching + (1 - caution) * (size <= delta))
    normal = (jacobian * curvature[..., None]).swapaxes(-1, -2) @ jacobian  # (M, P, P)
    held = ((theta <= law.lower) & (gradient > 0)) | ((theta >= law.upper) & (gradient < 0))
    gradient = np.where(held, 0, gradient)
    normal = np.where(held[:, :, None] | held[:, None, :], 0, normal)
    diagonal = np.arange(theta.shape[-1])
    scale = normal[:, diagonal, diagonal]
    normal[:, diagonal, diagonal] += damping[:, None] * scale + np.where(held, 1, 1e-30)
    return -np.linalg.solve(normal, gradient[..., None])[..., 0]


def _check(law: Law, x: Array, y: Array, sizes: int) -> None:
    for name, values in (("x", x), ("y", y)):
        bad = values[~(np.isfinite(values) & (values > 0))]
        if bad.size:
            raise InputError(
                f"fit of {law.name}: {name} has {bad[0]}; the law needs finite numbers above zero"
            )
    if sizes < len(law.parameters):
        raise InputError(
            f"fit of {law.name}: {sizes} distinct x for {len(law.parameters)} parameters; measure more sizes"
        )


def _named(law: Law, parameters: Array) -> dict[str, float]:
    return dict(zip(law.parameters, parameters.tolist(), strict=True))
