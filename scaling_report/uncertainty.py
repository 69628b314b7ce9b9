"""How far a fit can be trusted: refits of resampled data, and the two bands they give."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from scaling_report.fits import FitResult, Solutions, fit_many
from scaling_report.laws import LAWS, Array, Law
from scaling_report.losses import HUBER, Loss

SIZES_FOR_RESAMPLING = 8  # below, resampled runs stand at too few distinct sizes to fit a curve through
SIZES_A_SIZE_NEEDED = 1.6  # of n sizes drawn again some 0.63·n are distinct: so many must do for the law
NOISE_LIMIT = 50.0  # of ln y: with one degree of freedom a draw may be wild, its exponential must stay finite
# the new run's own noise, without Monte Carlo error
NOISE_QUANTILES = np.array([NormalDist().inv_cdf((i + 0.5) / 25) for i in range(25)])


@dataclass(frozen=True)
class Scatter:
    """How far runs lie from the curve, as standard deviations of ln y, in two parts that add as squares.

    `between_rungs` is what the seeds of a rung share (a shape the law does not see), `between_seeds` what
    they do not; the second is None, and all of it counts as the first, where no size was run twice. `dof` are
    the degrees of freedom behind their sum.
    """

    between_rungs: float
    between_seeds: float | None
    dof: float

    def of_mean(self, runs: int) -> float:
        """Standard deviation of the mean of `runs` seeds of one new rung."""
        return float(np.hypot(self.between_rungs, (self.between_seeds or 0.0) / np.sqrt(runs)))


@dataclass(frozen=True)
class Bootstrap:
    """Refits of one law to resampled data; those that did not converge count as `failed`, not in bands."""

    kind: str
    replicates: int
    failed: int
    solutions: Solutions
    scatter: Scatter
    inflation: Array  # (R,) what each refit's scatter is a multiple of `scatter` by

    def standard_errors(self) -> dict[str, float]:
        """Half the width of the central 68.27 % of refits: a standard deviation no wild refit can move.

        Of a law of several inputs the standard deviation itself, as published tables have it.
        """
        if len(self.solutions.law.inputs) > 1:
            deviations = self.solutions.parameters.std(axis=0, ddof=1)
            return dict(zip(self.solutions.law.parameters, deviations.tolist(), strict=True))
        low, high = np.quantile(self.solutions.parameters, (0.158655, 0.841345), axis=0)
        return dict(zip(self.solutions.law.parameters, ((high - low) / 2).tolist(), strict=True))

    def interval(self, level: float) -> dict[str, tuple[float, float]]:
        """Percentile interval of each parameter."""
        low, high = np.quantile(self.solutions.parameters, _tails(level), axis=0)
        return {name: (float(low[i]), float(high[i])) for i, name in enumerate(self.solutions.law.parameters)}

    def share_at_bound(self) -> dict[str, float]:
        """How many of the refits end with each parameter at the edge of what is allowed."""
        return dict(
            zip(self.solutions.law.parameters, self.solutions.at_bound.mean(axis=0).tolist(), strict=True)
        )

    def confidence(self, x: Array, level: float) -> Array:
        """Where the curve is at `x`, (n,) or one row an input: (n, 2)."""
        return np.quantile(self.solutions.predict(x), _tails(level), axis=0).T

    def prediction(self, x: Array, level: float, runs: int = 1) -> Array:
        """Where the mean of `runs` seeds of a new rung at `x`, (n,) or one row an input, will lie: (n, 2)."""
        noise = np.outer(self.inflation * self.scatter.of_mean(runs), NOISE_QUANTILES)  # (R, Q)
        noise = noise.clip(-NOISE_LIMIT, NOISE_LIMIT)
        link = self.solutions.law.link
        drawn = link.to(self.solutions.predict(x))[:, None, :] + noise[:, :, None]  # (R, Q, n)
        return link.back(np.quantile(drawn.reshape(-1, x.shape[-1]), _tails(level), axis=0).T)


def share_weights(x: Array) -> Array:
    """Weights (n,) by which every size counts once: seeds are no further evidence of what they share."""
    size_of_run, runs = sizes_of(x)
    return 1.0 / runs[size_of_run]


def measure_scatter(fit: FitResult, x: Array) -> Scatter:
    """Split the residuals of a fit over x (n,) into what is between rungs and what is between their seeds.

    Method of moments: the mean residuals of k rungs have variance between_rungs² + between_seeds²·(mean of
    1/seeds), on k - P degrees of freedom. Where that leaves less than nothing between rungs, all residuals
    are pooled as between seeds. The sum's degrees of freedom are Satterthwaite's (1946). Needs more sizes
    than parameters.
    """
    residuals = np.array(fit.log_residuals)
    size_of_run, runs = sizes_of(x)
    groups = [residuals[size_of_run == size] for size in range(len(runs))]
    rungs_dof = len(groups) - len(fit.parameters)
    assert rungs_dof > 0, "a law is fitted to more sizes than it has parameters"
    seeds_dof = residuals.size - len(groups)
    means_variance = sum(float(group.mean()) ** 2 for group in groups) / rungs_dof
    if seeds_dof == 0:
        return Scatter(float(np.sqrt(means_variance)), None, rungs_dof)
    seeds_variance = sum(float(((group - group.mean()) ** 2).sum()) for group in groups) / seeds_dof
    share = float(np.mean([1 / group.size for group in groups]))
    rungs_variance = means_variance - share * seeds_variance
    if rungs_variance <= 0:
        pooled_dof = rungs_dof + seeds_dof
        return Scatter(0.0, float(np.sqrt((residuals**2).sum() / pooled_dof)), pooled_dof)
    spread = means_variance**2 / rungs_dof + ((1 - share) * seeds_variance) ** 2 / seeds_dof
    dof = (rungs_variance + seeds_variance) ** 2 / spread
    return Scatter(float(np.sqrt(rungs_variance)), float(np.sqrt(seeds_variance)), dof)


def resample(
    fit: FitResult,
    x: Array,
    y: Array,
    *,
    replicates: int,
    seed: int,
    kind: str | None = None,
    weights: Array | None = None,
    loss: Loss = HUBER,
) -> Bootstrap:
    """Refit `replicates` times, each from fresh starts. x, y, weights are those of `fit`, one entry a run.

    Without `weights` every size counts once, as in `share_weights`.

    From as many sizes on as `sizes_to_draw` says, "rungs": sizes drawn with replacement, each with all its
    runs, redrawn where too few distinct ones are left for the law. Below, "parametric": noise between rungs
    and between seeds drawn about the fitted curve. Either way each refit's scatter is drawn from its scaled
    inverse chi-square, which makes the bands of a straight line as wide as Student's t.
    """
    rng = np.random.default_rng(seed)
    law = LAWS[fit.law]
    scatter = measure_scatter(fit, x)
    inflation = np.sqrt(scatter.dof / rng.chisquare(scatter.dof, size=replicates))
    weights = np.broadcast_to(share_weights(x) if weights is None else weights, (replicates, y.size))
    data = np.broadcast_to(y, weights.shape)
    kind = kind or ("rungs" if fit.sizes >= sizes_to_draw(law) else "parametric")
    if kind == "rungs":
        weights = weights * draw_sizes(x, replicates, law.sizes_needed, rng)
    else:
        noise = inflation[:, None] * draw_noise(scatter, x, replicates, rng)
        data = law.link.back(law.link.to(fit.predict(x)) + noise.clip(-NOISE_LIMIT, NOISE_LIMIT))
    solutions = fit_many(law, x, data, weights=weights, loss=loss)
    arrived = solutions.converged
    return Bootstrap(
        kind=kind,
        replicates=replicates,
        failed=int((~arrived).sum()),
        solutions=solutions.select(arrived),
        scatter=scatter,
        inflation=inflation[arrived],
    )


def sizes_to_draw(law: Law) -> int:
    """Distinct sizes from which runs are drawn again; of fewer the draws could hardly differ."""
    return max(SIZES_FOR_RESAMPLING, int(np.ceil(SIZES_A_SIZE_NEEDED * law.sizes_needed)))


def draw_sizes(x: Array, replicates: int, sizes_needed: int, rng: np.random.Generator) -> Array:
    """How often each run is drawn, (R, n): as often as its size; at least `sizes_needed` sizes are."""
    size_of_run, runs = sizes_of(x)
    equal = np.full(len(runs), 1 / len(runs))
    drawn = rng.multinomial(len(runs), equal, size=replicates)
    while (poor := (drawn > 0).sum(axis=1) < sizes_needed).any():
        drawn[poor] = rng.multinomial(len(runs), equal, size=int(poor.sum()))
    return drawn[:, size_of_run].astype(float)


def draw_noise(scatter: Scatter, x: Array, replicates: int, rng: np.random.Generator) -> Array:
    """Noise of ln y, (R, n): one draw that the seeds of a size share, and one for each run."""
    size_of_run, runs = sizes_of(x)
    shared = scatter.between_rungs * rng.standard_normal((replicates, len(runs)))
    own = (scatter.between_seeds or 0.0) * rng.standard_normal((replicates, x.shape[-1]))
    return shared[:, size_of_run] + own


def sizes_of(x: Array) -> tuple[np.ndarray, np.ndarray]:
    """The number of each run's size (n,), and the runs of each: of x, (n,) or one row an input."""
    _, size_of_run, runs = np.unique(x, axis=-1, return_inverse=True, return_counts=True)
    return size_of_run.reshape(-1), runs


def _tails(level: float) -> tuple[float, float]:
    return (1 - level) / 2, (1 + level) / 2
