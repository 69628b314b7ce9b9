"""Weights by measured errors: the textbook's estimate, its limits, and what they are worth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq

from scaling_report.fits import fit
from scaling_report.judge import judge
from scaling_report.losses import LEAST_SQUARES
from scaling_report.weights import weigh_runs

X = np.geomspace(1e5, 1e8, 30)


def measured(seed: int, errors: np.ndarray, scatter: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 4 * X**-0.06 * np.exp(np.hypot(scatter, errors) * rng.standard_normal(X.size))


def test_the_scatter_is_paule_and_mandels() -> None:
    errors = np.where(np.arange(30) % 2, 0.002, 0.03)
    y = measured(0, errors, 0.01)
    found = weigh_runs("power", X, y, errors * y, loss=LEAST_SQUARES)

    def excess(square: float) -> float:
        weights = 1 / (square + errors**2)
        slope, level = np.polyfit(np.log(X), np.log(y), 1, w=np.sqrt(weights))
        return float((weights * (np.log(y) - level - slope * np.log(X)) ** 2).sum()) - 28

    square = brentq(excess, 1e-9, 1e-2)
    assert found.between_rungs == pytest.approx(np.sqrt(square), rel=0.01)
    expected = 1 / (square + errors**2)
    np.testing.assert_allclose(found.weights, expected / expected.mean(), rtol=0.02)
    assert found.weights.mean() == pytest.approx(1)


def test_errors_that_explain_everything_leave_no_scatter() -> None:
    errors = np.where(np.arange(30) % 2, 0.01, 0.02)
    y = measured(1, errors / 2, 0.0)
    found = weigh_runs("power", X, y, errors * y)
    assert found.between_rungs == 0
    assert found.share == 1
    np.testing.assert_allclose(found.weights[0] / found.weights[1], 1 / 4)


def test_errors_that_are_nothing_leave_runs_alike() -> None:
    y = measured(2, np.zeros(30), 0.01)
    found = weigh_runs("power", X, y, np.zeros(30))
    np.testing.assert_allclose(found.weights, 1)
    assert found.share == 0


def test_weights_make_the_slope_surer() -> None:
    errors = np.where(np.arange(30) % 3, 0.05, 0.001)
    plain, weighed = [], []
    for seed in range(25):
        y = measured(seed, errors, 0.002)
        weights = weigh_runs("power", X, y, errors * y, loss=LEAST_SQUARES).weights
        plain.append(fit("power", X, y, loss=LEAST_SQUARES).parameters["b"])
        weighed.append(fit("power", X, y, weights=weights, loss=LEAST_SQUARES).parameters["b"])
    assert np.std(weighed) < 0.5 * np.std(plain)


def test_more_seeds_do_not_make_several_sizes() -> None:
    x = np.concatenate([X[:8], np.full(9, X[0])])
    y = 4 * x**-0.06 * np.exp(0.01 * np.random.default_rng(0).standard_normal(8))[[*range(8), *[0] * 9]]
    found = weigh_runs("power", x, y, np.full(17, 0.002) * y, seeds_share=True)
    first = x == X[0]
    assert found.weights[first].sum() == pytest.approx(found.weights[1], rel=1e-6)
    assert found.weights.sum() == pytest.approx(8)


def test_the_verdict_says_that_weights_were_used() -> None:
    errors = np.where(np.arange(30) % 2, 0.002, 0.03)
    y = measured(0, errors, 0.01)
    found = judge("power", {"x": X}, y, error=errors * y, bootstrap=50)
    (said,) = (one for one in found.verdict if one.startswith("Runs weigh by"))
    assert "% of the variance about the curve is measurement" in said
    told = found.to_dict()["weights"]
    assert told["of_runs"][0] < told["of_runs"][1]
    assert judge("power", {"x": X}, y, bootstrap=0).to_dict()["weights"] is None
