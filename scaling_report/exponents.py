"""Two ladders on the same axis: whether their exponents differ, how far apart they lie, where they cross."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scaling_report.fits import FitResult, Solutions, fit, fit_many
from scaling_report.laws import LAWS, Array
from scaling_report.losses import LEAST_SQUARES

SAME_SIZE = 0.05  # relative: rungs of two families that are as near as this are one size
INTERVAL = 0.95  # of differences, as the 5 % of their test
NOISE_LIMIT = 50.0  # of ln y: its exponential must stay finite
REACH = 3.0  # a crossing is looked for as far beyond what both measured
CROSSING_GRID = 200


@dataclass(frozen=True)
class Ladder:
    """A series as its test sees it: the mean of ln y of each rung (k,), and the seeds behind it."""

    rungs: tuple[str, ...]
    seeds: tuple[frozenset[int | None], ...]
    x: Array
    log_y: Array

    def only(self, places: Sequence[int]) -> Ladder:
        """The rungs at `places` alone."""
        return Ladder(
            tuple(self.rungs[i] for i in places),
            tuple(self.seeds[i] for i in places),
            self.x[list(places)],
            self.log_y[list(places)],
        )


@dataclass(frozen=True)
class Crossing:
    """Where two curves meet; `share` of the refits meet somewhere, too, and `interval` is theirs.

    `within`: among the sizes that both ladders measured.
    """

    x: float
    within: bool
    interval: tuple[float, float]
    share: float


@dataclass(frozen=True)
class ExponentTest:
    """Exponents of two ladders, a's less b's, with the 95 % interval and two-sided p of the difference.

    `paired`: the rungs were matched, and what moves both at one rung cancels. `a`, `b` are what was fitted.
    """

    law: str
    paired: bool
    a: Ladder
    b: Ladder
    fits: tuple[FitResult, FitResult]
    errors: tuple[float, float]
    difference: float
    interval: tuple[float, float]
    p_value: float
    replicates: int
    refits: tuple[Solutions, Solutions]


def match(a: Ladder, b: Ladder) -> list[tuple[int, int]]:
    """Places of the rungs that both have: of the same seeds, and the same name or a size within 5 %."""
    pairs, free = [], set(range(len(b.rungs)))
    for i, rung in enumerate(a.rungs):
        fitting = [j for j in free if a.seeds[i] == b.seeds[j]]
        named = [j for j in fitting if b.rungs[j] == rung]
        near = [j for j in fitting if abs(float(np.log(a.x[i] / b.x[j]))) <= SAME_SIZE]
        if found := named or near:
            place = min(found, key=lambda j: abs(float(np.log(a.x[i] / b.x[j]))))
            pairs.append((i, place))
            free.remove(place)
    return pairs


def compare_exponents(
    a: Ladder, b: Ladder, law: str, *, replicates: int, seed: int, paired: bool | None = None
) -> ExponentTest:
    """Fit `law` to both by least squares of ln y, draw both again and again, and test the difference of b.

    Where enough rungs match, only those are used and every draw gives both ladders noise of the residuals'
    own covariance, so that what rungs share cancels; else each ladder is drawn by itself. Draws are about the
    fitted curves, wider by a scaled inverse chi-square: for `power` at the same sizes that is Student's t
    test of the slope of ln(a/b) on k - 2 degrees of freedom. Resampling rungs instead, at the four to ten
    sizes of a ladder, calls equal exponents different too often. Each ladder needs more rungs than the law
    has parameters. `paired` asks for one of the two.
    """
    known = LAWS[law]
    matched = match(a, b)
    if paired is None:
        paired = len(matched) >= known.sizes_needed
    if paired:
        a, b = a.only([i for i, _ in matched]), b.only([j for _, j in matched])
    rng = np.random.default_rng(seed)
    fits = tuple(fit(law, one.x, np.exp(one.log_y), loss=LEAST_SQUARES, starts=0) for one in (a, b))
    refits = _refits(law, (a, b), fits, paired, replicates, rng)
    place = known.parameters.index("b")
    drawn = [solutions.parameters[:, place] for solutions in refits]
    differences = drawn[0] - drawn[1]
    fewer = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    low, high = np.quantile(differences, ((1 - INTERVAL) / 2, (1 + INTERVAL) / 2))
    return ExponentTest(
        law=law,
        paired=paired,
        a=a,
        b=b,
        fits=(fits[0], fits[1]),
        errors=(_spread(drawn[0]), _spread(drawn[1])),
        difference=fits[0].parameters["b"] - fits[1].parameters["b"],
        interval=(float(low), float(high)),
        p_value=min(1.0, 2 * (fewer + 1) / (differences.size + 1)),
        replicates=int(differences.size),
        refits=refits,
    )


def find_crossing(test: ExponentTest, level: float) -> Crossing | None:
    """Where the two curves meet within three times what both ladders measured; None where they do not."""
    low = max(float(test.a.x.min()), float(test.b.x.min()))
    high = min(float(test.a.x.max()), float(test.b.x.max()))
    if low >= high:
        return None
    grid = np.geomspace(low / REACH, high * REACH, CROSSING_GRID)
    gap = np.log(test.fits[0].predict(grid)) - np.log(test.fits[1].predict(grid))
    seen = _zeros(grid, gap[None])
    if np.isnan(seen[0]):
        return None
    zeros = _zeros(grid, np.log(test.refits[0].predict(grid)) - np.log(test.refits[1].predict(grid)))
    met = zeros[~np.isnan(zeros)]
    tails = ((1 - level) / 2, (1 + level) / 2)
    ends = np.quantile(met, tails) if met.size else np.array([seen[0], seen[0]])
    within = low <= float(seen[0]) <= high
    return Crossing(float(seen[0]), within, (float(ends[0]), float(ends[1])), met.size / zeros.size)


def holm(ps: Sequence[float]) -> list[float]:
    """Each p-value adjusted for there being several (Holm 1979), in the order given."""
    adjusted, least = [0.0] * len(ps), 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=lambda place: ps[place])):
        least = max(least, min(1.0, (len(ps) - rank) * ps[place]))
        adjusted[place] = least
    return adjusted


def _refits(
    law: str,
    ladders: tuple[Ladder, Ladder],
    fits: Sequence[FitResult],
    paired: bool,
    replicates: int,
    rng: np.random.Generator,
) -> tuple[Solutions, Solutions]:
    """Both laws fitted to the same draws, less those where either did not arrive."""
    residuals = [np.array(one.log_residuals) for one in fits]
    dofs = [one.size - len(LAWS[law].parameters) for one in residuals]
    if paired:
        together = np.stack(residuals)  # (2, k)
        values, vectors = np.linalg.eigh(together @ together.T / dofs[0])
        root = vectors * np.sqrt(values.clip(0))  # of the covariance, which two equal ladders make singular
        inflation = np.sqrt(dofs[0] / rng.chisquare(dofs[0], size=replicates))
        noise = list(
            np.einsum("ij,rjk->irk", root, rng.standard_normal((replicates, 2, together.shape[1])))
            * inflation[:, None]
        )
    else:
        noise = [
            np.sqrt((one @ one / dof) * dof / rng.chisquare(dof, size=replicates))[:, None]
            * rng.standard_normal((replicates, one.size))
            for one, dof in zip(residuals, dofs, strict=True)
        ]
    solutions = [
        fit_many(
            LAWS[law],
            ladder.x,
            one.predict(ladder.x) * np.exp(drawn.clip(-NOISE_LIMIT, NOISE_LIMIT)),
            loss=LEAST_SQUARES,
        )
        for ladder, one, drawn in zip(ladders, fits, noise, strict=True)
    ]
    arrived = solutions[0].converged & solutions[1].converged
    return solutions[0].select(arrived), solutions[1].select(arrived)


def _spread(drawn: Array) -> float:
    """Half the width of the central 68.27 %."""
    low, high = np.quantile(drawn, (0.158655, 0.841345))
    return float(high - low) / 2


def _zeros(grid: Array, gaps: Array) -> Array:
    """Where each row of gaps (R, n) first changes its sign, by a straight line in ln x; NaN where never."""
    signs = np.sign(gaps)
    turns = signs[:, :-1] * signs[:, 1:] < 0
    first = turns.argmax(axis=1)
    rows = np.arange(len(gaps))
    before, after = gaps[rows, first], gaps[rows, first + 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        part = before / (before - after)
    log_x = np.log(grid)
    at = np.exp(log_x[first] + part * (log_x[first + 1] - log_x[first]))
    return np.where(turns.any(axis=1), at, np.nan)
