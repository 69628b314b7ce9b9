"""Fits against closed forms, against scipy's own robust least squares, and against the data's own law."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import least_squares

from eval.files import InputError
from scaling_report.fits import fit, fit_many
from scaling_report.laws import CURVES, LAWS
from scaling_report.losses import DELTA, LEAST_SQUARES, huber

SIZES = np.geomspace(13e3, 1e6, 7)
TEN_RUNS = np.sort(np.concatenate([SIZES, SIZES[:3]]))
TRUTH = {"power": {"a": 4.2, "b": 0.061}, "power-floor": {"e": 1.6, "a": 16.5, "b": 0.35}}


@pytest.mark.parametrize("law", CURVES)
@pytest.mark.parametrize("scale", [1.0, 1e12], ids=["parameters", "flops"])
def test_a_law_recovers_its_own_parameters(law: str, scale: float) -> None:
    curve = LAWS[law].curve(SIZES, **TRUTH[law])
    found = fit(law, SIZES * scale, curve)
    expected = {**TRUTH[law], "a": TRUTH[law]["a"] * scale ** TRUTH[law]["b"]}
    assert found.converged
    assert found.identified
    for name, value in expected.items():
        assert found.parameters[name] == pytest.approx(value, rel=1e-6)
    assert found.objective < 1e-20


@pytest.mark.parametrize(("e", "b"), [(0.5, 0.05), (3.0, 1.2), (20.0, 0.6)])
def test_floors_of_every_kind_are_recovered(e: float, b: float) -> None:
    found = fit("power-floor", SIZES, e + 2 * (SIZES / 1e5) ** -b)
    assert found.parameters["e"] == pytest.approx(e, rel=1e-6)
    assert found.parameters["b"] == pytest.approx(b, rel=1e-6)


def test_power_with_plain_squares_is_the_log_linear_line() -> None:
    rng = np.random.default_rng(1)
    y = 4 * TEN_RUNS**-0.06 * np.exp(0.02 * rng.standard_normal(10))
    weights = rng.uniform(0.5, 2, 10)
    found = fit("power", TEN_RUNS, y, weights=weights, loss=LEAST_SQUARES)
    slope, level = np.polyfit(np.log(TEN_RUNS), np.log(y), 1, w=np.sqrt(weights))
    assert found.parameters["b"] == pytest.approx(-slope, rel=1e-8)
    assert found.parameters["a"] == pytest.approx(np.exp(level), rel=1e-8)
    assert found.second_opinion == pytest.approx(found.parameters)


@pytest.mark.parametrize("noise", [0.003, 0.03])
def test_the_objective_is_as_low_as_scipys_from_many_starts(noise: float) -> None:
    rng = np.random.default_rng(2)
    for _ in range(5):
        y = LAWS["power-floor"].curve(TEN_RUNS, **TRUTH["power-floor"]) * np.exp(
            noise * rng.standard_normal(10)
        )
        assert fit("power-floor", TEN_RUNS, y).objective <= _scipy_objective(TEN_RUNS, y) * (1 + 1e-6)


def _scipy_objective(x: np.ndarray, y: np.ndarray) -> float:
    def residuals(theta: np.ndarray) -> np.ndarray:
        return np.log(theta[0] + theta[1] * (x / 1e5) ** -theta[2]) - np.log(y)

    limits = ([0, 1e-9, 0.01], [np.inf, np.inf, 3])
    tight = {"xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-15, "x_scale": "jac", "max_nfev": 1000}
    return min(
        least_squares(residuals, [1.0, 1.0, b], bounds=limits, loss="huber", f_scale=DELTA, **tight).cost
        for b in (0.1, 0.4, 1.0)
    )


def test_one_wild_run_does_not_move_a_robust_fit() -> None:
    y = LAWS["power"].curve(SIZES, **TRUTH["power"])
    y[2] *= 1.5
    assert fit("power", SIZES, y).parameters["b"] == pytest.approx(0.061, rel=0.05)
    assert abs(fit("power", SIZES, y, loss=LEAST_SQUARES).parameters["b"] - 0.061) > 0.01


def test_many_data_sets_at_once_are_fitted_as_one_by_one() -> None:
    rng = np.random.default_rng(3)
    curve = LAWS["power-floor"].curve(TEN_RUNS, **TRUTH["power-floor"])
    y = curve * np.exp(0.003 * rng.standard_normal((20, 10)))
    together = fit_many(LAWS["power-floor"], TEN_RUNS, y)
    alone = [fit("power-floor", TEN_RUNS, row) for row in y]
    np.testing.assert_allclose(
        together.predict(np.array([2e6]))[:, 0], [one.predict([2e6])[0] for one in alone], rtol=1e-4
    )


def test_weight_zero_is_absence_and_weight_two_is_repetition() -> None:
    rng = np.random.default_rng(4)
    y = LAWS["power-floor"].curve(SIZES, **TRUTH["power-floor"]) * np.exp(0.003 * rng.standard_normal(7))
    weighted = fit("power-floor", SIZES, y, weights=[2, 1, 1, 1, 1, 1, 0])
    repeated = fit("power-floor", np.append(SIZES[:6], SIZES[0]), np.append(y[:6], y[0]))
    assert weighted.objective == pytest.approx(repeated.objective, rel=1e-8)
    assert weighted.sizes == 6


def test_a_floor_that_is_not_there_ends_at_its_bound_and_is_not_identified() -> None:
    steepening = np.exp(-0.01 * np.log(SIZES / 1e4) ** 2)  # bends down where a floor bends up
    found = fit("power-floor", SIZES, steepening)
    assert found.at_bound == ("e",)
    assert not found.identified
    assert found.parameters["e"] == 0


def test_as_many_sizes_as_parameters_fit_but_identify_nothing() -> None:
    found = fit("power", SIZES[:2], [2.0, 1.9])
    assert found.objective < 1e-20
    assert not found.identified


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_values_without_a_logarithm_are_refused_by_name(bad: float) -> None:
    with pytest.raises(InputError, match="y has"):
        fit("power", [1e3, 1e4, 1e5], [2.0, bad, 1.0])


def test_too_few_sizes_are_refused_with_advice() -> None:
    with pytest.raises(InputError, match="2 distinct x for 3 parameters; measure more sizes"):
        fit("power-floor", [1e3, 1e3, 1e5], [2.0, 2.1, 1.0])


def test_huber_is_a_parabola_then_a_line() -> None:
    np.testing.assert_allclose(huber(np.array([0.5, -1.0, 3.0, -5.0]), 1.0), [0.125, 0.5, 2.5, 4.5])
