"""Laws: curves, derivatives and starts against what can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from scaling_report.laws import CURVES, LAWS, power, power_floor

U = np.array([0.2, 0.5, 1.0, 3.0, 8.0])
THETA = {"power": np.array([[0.3, 0.4]]), "power-floor": np.array([[0.7, 0.5, 0.35]])}


def test_curves_at_values_worked_out_by_hand() -> None:
    x = np.array([1.0, 4.0, 16.0])
    np.testing.assert_allclose(power(x, 6.0, 0.5), [6.0, 3.0, 1.5])
    np.testing.assert_allclose(power_floor(x, 1.0, 6.0, 0.5), [7.0, 4.0, 2.5])


@pytest.mark.parametrize("name", CURVES)
def test_jacobian_matches_central_differences(name: str) -> None:
    law, theta = LAWS[name], THETA[name]
    for i in range(theta.shape[-1]):
        step = np.zeros_like(theta)
        step[..., i] = 1e-6
        slope = (law.log_curve(theta + step, U) - law.log_curve(theta - step, U)) / 2e-6
        np.testing.assert_allclose(law.log_jacobian(theta, U)[..., i], slope, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", CURVES)
def test_natural_parameters_draw_the_same_curve(name: str) -> None:
    law, theta, x0, y0 = LAWS[name], THETA[name], 1e5, 2.5
    natural = law.natural(theta, x0, y0)[0]
    np.testing.assert_allclose(law.curve(U * x0, *natural), y0 * np.exp(law.log_curve(theta, U)[0]))


def test_power_starts_at_the_weighted_log_linear_line() -> None:
    rng = np.random.default_rng(0)
    v, weights = np.exp(rng.normal(size=(3, 5))), rng.uniform(0.5, 2, size=(3, 5))
    starts = LAWS["power"].starts(U, v, weights)[:, 0]
    for row in range(3):
        slope, level = np.polyfit(np.log(U), np.log(v[row]), 1, w=np.sqrt(weights[row]))
        np.testing.assert_allclose(starts[row], [level, -slope], rtol=1e-10)


def test_floor_starts_include_the_curve_when_its_exponent_is_on_the_grid() -> None:
    from scaling_report.laws import EXPONENTS

    b = EXPONENTS[30]
    starts = LAWS["power-floor"].starts(U, (0.6 + 0.4 * U**-b)[None], np.ones((1, 5)))[0]
    assert np.abs(starts - [0.6, 0.4, b]).max(axis=1).min() < 1e-9


def test_floor_starts_never_leave_the_bounds() -> None:
    law = LAWS["power-floor"]
    rising = np.array([[0.5, 0.7, 1.0, 1.4, 2.0]])
    starts = law.starts(U, rising, np.ones_like(rising))
    assert (starts >= law.lower).all()
    assert (starts <= law.upper).all()
