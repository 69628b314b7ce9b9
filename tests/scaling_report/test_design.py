"""Runs that are suggested narrow the forecast more than others of their cost do."""

from __future__ import annotations

import numpy as np
import pytest

from scaling_report.fits import fit
from scaling_report.laws import LAWS
from scaling_report.optimal.design import Design, _slopes, design
from scaling_report.uncertainty import resample

LAW = {"E": 1.8, "A": 400.0, "B": 2000.0, "alpha": 0.34, "beta": 0.37}
NOISE = 0.004
TARGET = np.array([[4e9], [8e10]])


def measure(n: np.ndarray, d: np.ndarray, seed: int) -> np.ndarray:
    noise = NOISE * np.random.default_rng(seed).standard_normal(n.size)
    return LAWS["chinchilla"].curve(n, d, **LAW) * np.exp(noise)


def there() -> tuple[np.ndarray, np.ndarray]:
    """Four sizes at three lengths: places (2, 12) and their losses."""
    n, d = (one.ravel() for one in np.meshgrid(np.geomspace(3e7, 3e8, 4), np.geomspace(1e9, 1e10, 3)))
    return np.stack([n, d]), measure(n, d, 1)


def candidates() -> np.ndarray:
    n, d = (one.ravel() for one in np.meshgrid(np.geomspace(3e7, 1.2e9, 9), np.geomspace(1e9, 4e10, 9)))
    return np.stack([n, d])


def suggested(budget: float, most: int = 5) -> tuple[Design, np.ndarray]:
    x, y = there()
    places = candidates()
    plan = design(
        fit("chinchilla", x, y, starts=0),
        x,
        TARGET,
        places,
        6 * places.prod(axis=0),
        budget=budget,
        most=most,
    )
    return plan, places


def bootstrap_width(new: np.ndarray, seed: int = 2) -> float:
    x, y = there()
    x = np.concatenate([x, new], axis=1)
    y = np.concatenate([y, measure(new[0], new[1], seed)])
    found = fit("chinchilla", x, y, starts=0)
    boot = resample(found, x, y, replicates=120, seed=0, kind="parametric", weights=np.ones_like(y))
    low, high = np.log(boot.confidence(TARGET, 0.9)[0])
    return float(high - low)


def test_suggested_runs_narrow_the_bootstraps_band_more_than_random_or_repeated_ones_of_their_cost() -> None:
    budget = 1.5e20
    plan, places = suggested(budget)
    chosen = places[:, [run.place for run in plan.runs]]
    assert 6 * chosen.prod(axis=0).sum() <= budget
    width = bootstrap_width(chosen)
    x, _ = there()
    rng = np.random.default_rng(0)
    flops = 6 * places.prod(axis=0)
    others = []
    for _ in range(3):
        order = rng.permutation(places.shape[1])
        kept = order[np.cumsum(flops[order]) <= budget]
        while not kept.size:
            order = rng.permutation(places.shape[1])
            kept = order[np.cumsum(flops[order]) <= budget]
        others.append(bootstrap_width(places[:, kept]))
    dear = np.argsort(-x.prod(axis=0))[:5]
    repeated = x[:, np.tile(dear, int(budget // (6 * x[:, dear].prod(axis=0).sum())))]
    others.append(bootstrap_width(repeated))
    assert width < 0.8 * np.mean(others[:3])
    assert width < 0.8 * others[3]


def test_bands_fall_run_by_run_and_the_last_is_what_least_squares_says() -> None:
    plan, places = suggested(1.5e20)
    bands = [plan.now, *(run.band for run in plan.runs)]
    assert bands == sorted(bands, reverse=True)
    x, y = there()
    found = fit("chinchilla", x, y, starts=0)
    at = np.array(list(found.parameters.values()))

    def variance(rows: np.ndarray) -> float:
        jacobian, goal = _slopes("chinchilla", at, rows), _slopes("chinchilla", at, TARGET)[0]
        found_, *_ = np.linalg.lstsq(
            jacobian.T, goal, rcond=None
        )  # shortest c with J'c = g: |c|² = g'(J'J)⁻¹g
        return float(found_ @ found_)

    more = np.concatenate([x, places[:, [run.place for run in plan.runs]]], axis=1)
    assert (bands[-1] / bands[0]) ** 2 == pytest.approx(variance(more) / variance(x), rel=1e-3)


def test_a_plan_keeps_its_budget_its_number_and_takes_no_run_twice() -> None:
    for budget, most in ((1e19, 3), (1e21, 2)):
        plan, _ = suggested(budget, most)
        assert 0 < len(plan.runs) <= most
        assert sum(run.flops for run in plan.runs) <= budget
        assert len({run.place for run in plan.runs}) == len(plan.runs)
    assert suggested(1.0)[0].runs == ()


def test_numerical_slopes_are_the_formulas() -> None:
    n, d = there()[0]
    at = np.array(list(LAW.values()))
    loss = LAWS["chinchilla"].curve(n, d, **LAW)
    slopes = _slopes("chinchilla", at, np.stack([n, d]))
    assert slopes[:, 0] == pytest.approx(1.8 / loss, rel=1e-6)
    assert slopes[:, 3] == pytest.approx(-0.34 * np.log(n) * 400 * n**-0.34 / loss, rel=1e-6)


def test_of_a_curve_the_largest_run_is_worth_most_for_a_target_beyond_it() -> None:
    x = np.geomspace(1e4, 1e6, 6)
    y = 2 * x**-0.1 * np.exp(0.01 * np.random.default_rng(0).standard_normal(6))
    new = np.geomspace(1e4, 4e6, 8)
    plan = design(fit("power", x, y), x, np.array([1e8]), new, new, budget=1e9, most=1)
    assert [run.place for run in plan.runs] == [7]
