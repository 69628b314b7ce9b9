"""How far a fit can be trusted: refits of resampled data, and the two bands they give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from scaling_report.fit import DELTA, FitResult, Solutions, fit_many
from scaling_report.laws import LAWS, Array

SIZES_FOR_RESAMPLING = 8  # below, resampled runs stand at too few distinct sizes to fit a curve through
NOISE_QUANTILES = ndtri((np.arange(25) + 0.5) / 25)  # the new run's own noise, without Monte Carlo error


@dataclass(frozen=True)
class Scatter:
    """How far single runs lie from the curve, as standard deviations of ln y.

    `log_sd` pools the spread between seeds of a size with the misfit between sizes, so it is what a new run at a new
    size will show; `dof` are the degrees of freedom behind it. `between_seeds` is the first part alone, None where
    no size was run twice.
    """

    log_sd: float
    dof: int
    between_seeds: float | None


@dataclass(frozen=True)
class Bootstrap:
    """Refits of one law to resampled runs. Refits whose solver did not arrive are counted in `failed`, not used."""

    kind: str
    replicates: int
    failed: int
    solutions: Solutions
    log_sd: Array  # (R,) the scatter that belongs to each refit

    def standard_errors(self) -> dict[str, float]:
        """Half the width of the central 68.27 % of refits: a standard deviation that one wild refit cannot move."""
        low, high = np.quantile(self.solutions.parameters, (0.158655, 0.841345), axis=0)
        return dict(zip(self.solutions.law.parameters, ((high - low) / 2).tolist(), strict=True))

    def interval(self, level: float) -> dict[str, tuple[float, float]]:
        """Percentile interval of each parameter."""
        low, high = np.quantile(self.solutions.parameters, _tails(level), axis=0)
        return {
            name: (float(low[i]), float(high[i])) for i, name in enumerate(self.solutions.law.parameters)
        }

    def share_at_bound(self) -> dict[str, float]:
        """How many of the refits end with each parameter at the edge of what is allowed."""
        return dict(zip(self.solutions.law.parameters, self.solutions.at_bound.mean(axis=0).tolist(), strict=True))

    def confidence(self, x: Array, level: float) -> Array:
        """Where the curve is at `x` (n,): (n, 2)."""
        return np.quantile(self.solutions.predict(x), _tails(level), axis=0).T

    def prediction(self, x: Array, level: float, runs: int = 1) -> Array:
        """Where the mean of `runs` new runs at `x` (n,) will lie, the curve being as uncertain as it is: (n, 2)."""
        noise = np.outer(self.log_sd / np.sqrt(runs), NOISE_QUANTILES)  # (R, Q)
        drawn = np.log(self.solutions.predict(x))[:, None, :] + noise[:, :, None]  # (R, Q, n)
        return np.exp(np.quantile(drawn.reshape(-1, x.size), _tails(level), axis=0).T)


def measure_scatter(fit: FitResult, x: Array) -> Scatter:
    """Scatter of single runs about the fit. With no degree of freedom left it cannot be known: asserts there is one."""
    residuals = np.array(fit.log_residuals)
    dof = residuals.size - len(fit.parameters)
    assert dof > 0, "sizes >= parameters + 1 was checked before"
    groups = [residuals[x == size] for size in np.unique(x)]
    spare = sum(group.size - 1 for group in groups)
    within = sum(float(((group - group.mean()) ** 2).sum()) for group in groups)
    return Scatter(
        log_sd=float(np.sqrt((residuals**2).sum() / dof)),
        dof=dof,
        between_seeds=float(np.sqrt(within / spare)) if spare else None,
    )


def resample(
    fit: FitResult, x: Array, y: Array, *, replicates: int, seed: int, kind: str | None = None, delta: float = DELTA
) -> Bootstrap:
    """Refit `replicates` times, each from fresh starts. x, y (n,) are the data of `fit`, one entry a run.

    From eight distinct sizes on, "runs": runs drawn with replacement, redrawn where too few sizes are left for the
    law. Below, "parametric": noise drawn about the fitted curve. Either way each refit carries a scatter drawn from
    its scaled inverse chi-square, which makes the bands as wide as Student's t does for a straight line.
    """
    rng = np.random.default_rng(seed)
    law = LAWS[fit.law]
    scatter = measure_scatter(fit, x)
    log_sd = scatter.log_sd * np.sqrt(scatter.dof / rng.chisquare(scatter.dof, size=replicates))
    kind = kind or ("runs" if fit.sizes >= SIZES_FOR_RESAMPLING else "parametric")
    if kind == "runs":
        weights = _draw_runs(x, replicates, law.sizes_needed, rng)
        solutions = fit_many(law, x, np.broadcast_to(y, weights.shape), weights=weights, delta=delta)
    else:
        noise = log_sd[:, None] * rng.standard_normal((replicates, x.size))
        solutions = fit_many(law, x, fit.predict(x) * np.exp(noise), delta=delta)
    arrived = solutions.converged
    return Bootstrap(
        kind=kind,
        replicates=replicates,
        failed=int((~arrived).sum()),
        solutions=Solutions(
            law=law,
            parameters=solutions.parameters[arrived],
            objective=solutions.objective[arrived],
            converged=arrived[arrived],
            at_bound=solutions.at_bound[arrived],
        ),
        log_sd=log_sd[arrived],
    )


def _draw_runs(x: Array, replicates: int, sizes_needed: int, rng: np.random.Generator) -> Array:
    """How often each run is drawn, (R, n): n draws with replacement that hold at least `sizes_needed` sizes."""
    _, size_of_run = np.unique(x, return_inverse=True)
    at_size = np.eye(size_of_run.max() + 1)[size_of_run]  # (n, sizes)
    weights = rng.multinomial(x.size, np.full(x.size, 1 / x.size), size=replicates)
    while (poor := ((weights @ at_size) > 0).sum(axis=1) < sizes_needed).any():
        weights[poor] = rng.multinomial(x.size, np.full(x.size, 1 / x.size), size=int(poor.sum()))
    return weights.astype(float)


def _tails(level: float) -> tuple[float, float]:
    return (1 - level) / 2, (1 + level) / 2
