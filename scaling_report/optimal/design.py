"""Which runs would narrow a forecast most for their FLOPs: greedy optimal design by the delta method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from scaling_report.fits import FitResult
from scaling_report.laws import LAWS, Array
from scaling_report.uncertainty import measure_scatter

STEP = 1e-5  # of a parameter, relative: numerical derivatives
RIDGE = 1e-10  # of the information's trace: keeps a design that tells nothing of a parameter invertible
THRIFT = (1.0, 0.7, 0.4, 0.0)  # powers of FLOPs that a run's gain is divided by; the best whole plan wins


@dataclass(frozen=True)
class Run:
    """A run to train. `band` is the width at the target once it and those before it are there."""

    place: int
    flops: float
    band: float


@dataclass(frozen=True)
class Design:
    """Runs in the order to train them. Bands are whole widths of the curve's interval at the target, as a
    share of its value: 0.02 is ±1 %. `now` is the width before any of them.
    """

    now: float
    runs: tuple[Run, ...]
    level: float


def design(
    fit: FitResult,
    x: Array,
    target: Array,
    candidates: Array,
    flops: Array,
    *,
    budget: float,
    most: int,
    level: float = 0.9,
) -> Design:
    """At most `most` of the `candidates` within a `budget` of FLOPs in all, c-optimal for the `target`.

    x (n,) or (inputs, n) are the runs that `fit` saw, target (1,) or (inputs, 1), candidates (m,) or
    (inputs, m), flops (m,). The variance of ln y at the target is sigma²·g'(J'J)⁻¹g, J having the rows of
    the runs (Atkinson, Donev & Tobias 2007, chapter 10); a run is a row more. Several greedy plans that weigh
    gain against FLOPs differently are made, and the one with the narrowest band at its end is kept, its runs
    ordered by what they give for their FLOPs. No candidate is taken twice. The plan holds at the fitted
    parameters and with the noise seen so far.
    """
    at = np.array(list(fit.parameters.values()))
    rows, goal, new = (_slopes(fit.law, at, places) for places in (x, target, candidates))
    scale = np.maximum(np.linalg.norm(rows, axis=0), 1e-300)
    rows, goal, new = rows / scale, goal[0] / scale, new / scale
    information = rows.T @ rows
    width = len(at)
    start = np.linalg.inv(information + RIDGE * np.trace(information) / width * np.eye(width))
    plans = [_greedy(start, goal, new, flops, budget, most, thrift) for thrift in THRIFT]
    best = min(plans, key=lambda plan: _variance(start, goal, new[plan]))
    scatter = measure_scatter(fit, x)
    unit = 2 * scatter.of_mean(1) * float(stdtrit(scatter.dof, (1 + level) / 2))
    return Design(
        now=unit * float(np.sqrt(goal @ start @ goal)),
        runs=tuple(_in_order(best, start, goal, new, flops, unit)),
        level=level,
    )


def _slopes(law: str, parameters: Array, x: Array) -> Array:
    """Derivatives (m, P) of ln y at x by each parameter, in units of the parameter itself."""
    steps = np.diag(STEP * parameters)
    up, down = (np.log(LAWS[law].predict(x, parameters + way * steps)) for way in (1, -1))
    return (up - down).T / (2 * STEP)


def _greedy(
    start: Array, goal: Array, new: Array, flops: Array, budget: float, most: int, thrift: float
) -> list[int]:
    """Places of the candidates taken, each the one with the largest fall of ln variance over FLOPs^thrift."""
    covariance, left, taken = start, budget, list[int]()
    price = flops**thrift
    while len(taken) < most:
        spread = new @ covariance
        shift = (spread @ goal) ** 2 / (1 + (spread * new).sum(axis=1))
        share = np.minimum(shift / (goal @ covariance @ goal), 1 - 1e-12)
        gain = np.where(flops <= left, -np.log1p(-share) / price, -np.inf)
        gain[taken] = -np.inf
        place = int(gain.argmax())
        if not gain[place] > 0:
            break
        taken.append(place)
        left -= float(flops[place])
        covariance = _add(covariance, new[place])
    return taken


def _in_order(
    taken: Sequence[int], start: Array, goal: Array, new: Array, flops: Array, unit: float
) -> list[Run]:
    """The plan's runs, each time the one that gives most for its FLOPs."""
    covariance, left, told = start, list(taken), list[Run]()
    while left:
        before = float(goal @ covariance @ goal)
        gains = {
            place: np.log(before / _variance(covariance, goal, new[[place]])) / flops[place] for place in left
        }
        place = max(gains, key=lambda one: float(gains[one]))
        covariance = _add(covariance, new[place])
        left.remove(place)
        told.append(Run(place, float(flops[place]), unit * float(np.sqrt(goal @ covariance @ goal))))
    return told


def _variance(covariance: Array, goal: Array, rows: Array) -> float:
    for row in rows:
        covariance = _add(covariance, row)
    return float(goal @ covariance @ goal)


def _add(covariance: Array, row: Array) -> Array:
    """(M + r·r')⁻¹ from M⁻¹ (Sherman & Morrison 1950)."""
    moved = covariance @ row
    return covariance - np.outer(moved, moved) / (1 + row @ moved)
