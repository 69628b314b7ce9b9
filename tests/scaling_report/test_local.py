"""Errors without refits: against scipy's covariance, Student's intervals, and a profile walked by scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq, curve_fit, least_squares
from scipy.stats import t as student

from scaling_report.delta import compare_errors, errors_of, measure_covariance
from scaling_report.fits import fit
from scaling_report.judge import judge
from scaling_report.laws import LAWS, Array, chinchilla
from scaling_report.profile import profile_intervals

X = np.geomspace(1e5, 1e8, 12)
FLOOR = {"e": 1.6, "a": 40.0, "b": 0.3}
SURFACE = np.stack(
    [grid.ravel() for grid in np.meshgrid(np.geomspace(5e7, 5e9, 5), np.geomspace(2e9, 2e11, 5))]
)
TRUTH = {"E": 1.8, "A": 480.0, "B": 2100.0, "alpha": 0.35, "beta": 0.37}


def noisy(seed: int, noise: float = 0.01) -> Array:
    return LAWS["power-floor"].curve(X, **FLOOR) * np.exp(
        noise * np.random.default_rng(seed).standard_normal(12)
    )


@pytest.mark.parametrize("law", ["power", "power-floor", "chinchilla"])
def test_the_covariance_of_least_squares_is_scipys(law: str) -> None:
    rng = np.random.default_rng(0)
    x = SURFACE if law == "chinchilla" else X
    truth = {"power": {"a": 4.2, "b": 0.061}, "power-floor": FLOOR, "chinchilla": TRUTH}[law]
    y = LAWS[law].predict(x, np.array([list(truth.values())]))[0]
    y = y * np.exp(0.003 * rng.standard_normal(y.size))
    weights = rng.uniform(0.5, 2, y.size)
    weights /= weights.mean()
    found = fit(law, x, y, weights=weights, loss="least-squares")
    _, expected = curve_fit(
        lambda _, *parameters: np.log(LAWS[law].predict(x, np.array([parameters]))[0]),
        np.arange(y.size),
        np.log(y),
        p0=list(found.parameters.values()),
        sigma=weights**-0.5,
        x_scale=list(found.parameters.values()),
        method="trf",
    )
    covariance = measure_covariance(found, x, weights)
    assert covariance is not None
    np.testing.assert_allclose(covariance, expected, rtol=2e-3)


def test_errors_of_robust_fits_are_what_their_estimates_scatter_by() -> None:
    """Sixty tables of forty runs: the slopes' deviation, known to a tenth, beside the errors claimed."""
    x, slopes, claimed = np.geomspace(1e5, 1e8, 40), [], []
    for seed in range(60):
        y = 4 * x**-0.06 * np.exp(0.01 * np.random.default_rng(seed).standard_normal(40))
        found = fit("power", x, y)
        slopes.append(found.parameters["b"])
        errors = errors_of(measure_covariance(found, x), found)
        assert errors is not None
        claimed.append(errors["b"])
    assert np.mean(claimed) == pytest.approx(np.std(slopes, ddof=1), rel=0.25)
    absolute = fit("power", x, y, loss="lad")
    of_corner = errors_of(measure_covariance(absolute, x), absolute)
    assert of_corner is not None
    assert of_corner["b"] == pytest.approx(claimed[-1], rel=0.1), "whose delta is next to nothing"


def test_a_parameter_at_its_bound_has_no_covariance() -> None:
    y = 4 * X**-0.06 * np.exp(0.01 * np.random.default_rng(4).standard_normal(12))
    found = fit("power-floor", X, y * (1 - 0.02 * np.linspace(-1, 1, 12) ** 2))
    assert "e" in found.at_bound
    assert measure_covariance(found, X) is None
    assert judge("power-floor", {"x": X}, y, loss="asymmetric", bootstrap=0).to_dict()["covariance"] is None


@pytest.mark.parametrize("level", [0.68, 0.9, 0.99])
def test_the_profile_of_a_straight_line_is_students(level: float) -> None:
    y = 4 * X**-0.06 * np.exp(0.01 * np.random.default_rng(1).standard_normal(12))
    found = fit("power", X, y, loss="least-squares")
    ends = profile_intervals(found, X, y, level)
    assert ends is not None
    deviation = np.sqrt(np.square(found.log_residuals).sum() / 10)
    error = deviation / np.sqrt(((np.log(X) - np.log(X).mean()) ** 2).sum())
    reach = student.ppf((1 + level) / 2, 10) * error
    assert ends["b"] == pytest.approx(
        (found.parameters["b"] - reach, found.parameters["b"] + reach), rel=1e-5
    )


@pytest.mark.parametrize("name", ["e", "b"])
def test_the_profile_of_a_floor_is_scipys(name: str) -> None:
    y = noisy(2)
    found = fit("power-floor", X, y, loss="least-squares")
    ends = profile_intervals(found, X, y, 0.9)
    assert ends is not None
    least = np.square(found.log_residuals).sum()
    others = [one for one in FLOOR if one != name]

    def excess(value: float) -> float:
        def residuals(free: Array) -> Array:
            given = {
                name: value,
                **{one: scale * FLOOR[one] for one, scale in zip(others, free, strict=True)},
            }
            return np.log(np.maximum(LAWS["power-floor"].curve(X, **given), 1e-9)) - np.log(y)

        rise = 2 * least_squares(residuals, np.ones(2), xtol=1e-14, ftol=1e-14, gtol=1e-14).cost - least
        return rise / (least / 9) - student.ppf(0.95, 9) ** 2

    middle = found.parameters[name]
    expected = (brentq(excess, 0.7 * middle, middle), brentq(excess, middle, 1.4 * middle))
    assert ends[name] == pytest.approx(expected, rel=1e-4)
    assert abs((middle - expected[0]) / (expected[1] - middle) - 1) > 0.02, "it is asymmetric"


def test_a_floor_that_may_be_zero_has_an_interval_that_ends_there() -> None:
    y = 4 * X**-0.06 * np.exp(0.02 * np.random.default_rng(3).standard_normal(12))
    found = fit("power-floor", X, y)
    ends = profile_intervals(found, X, y, 0.9)
    assert (ends is None) == bool(found.at_bound)
    if ends is not None:
        assert ends["e"][0] == 0


def test_profiles_cover_what_they_say() -> None:
    """E, alpha and beta of ten tables, 90 %: 30 chances, of which 27 should hold."""
    held = 0
    for seed in range(10):
        y = chinchilla(*SURFACE, **TRUTH) * np.exp(0.005 * np.random.default_rng(seed).standard_normal(25))
        ends = profile_intervals(fit("chinchilla", SURFACE, y, starts=0), SURFACE, y, 0.9)
        assert ends is not None
        assert set(ends) == {"E", "alpha", "beta"}
        held += sum(low <= TRUTH[name] <= high for name, (low, high) in ends.items() if low and high)
    assert 22 <= held <= 30


def test_errors_that_disagree_are_told() -> None:
    same, apart = {"a": 1.0, "b": 0.1}, {"a": 1.1, "b": 0.3}
    assert compare_errors(same, same, dof=50) == []
    (told,) = compare_errors(same, apart, dof=50)
    assert "differ from the refits' (of b 0.10 beside 0.30): go by the intervals" in told


def test_the_judgement_keeps_them_in_json() -> None:
    told = judge("power-floor", {"x": X}, noisy(0), bootstrap=0).to_dict()
    matrix = np.array(told["covariance"])
    assert matrix.shape == (3, 3)
    np.testing.assert_allclose(np.sqrt(np.diag(matrix)), list(told["delta_errors"].values()))
    assert list(told["delta_errors"]) == ["e", "a", "b"]
    low, high = told["profile_intervals"]["e"]
    assert low < told["parameters"]["e"] < high
    assert told["standard_errors"] is None
