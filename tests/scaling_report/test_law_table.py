"""Every law: its formula by hand, its own parameters from noiseless data, intervals from noisy data."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import binom

from eval.files import InputError
from scaling_report.fits import fit, fit_many
from scaling_report.laws import (
    LAWS,
    Array,
    Parameter,
    best_size,
    bnsl,
    build_law,
    error_decay,
    kaplan,
    product,
    repeated,
    sigmoid,
)
from scaling_report.laws.law import LOG_ODDS
from scaling_report.uncertainty import resample

RNG = np.random.default_rng(0)
N, D = (grid.ravel() for grid in np.meshgrid(np.geomspace(5e7, 5e9, 5), np.geomspace(2e9, 2e11, 5)))
SURFACE = np.stack([N, D])
MEASURED = np.stack([N, D, 6 * N * D * np.exp(0.5 * RNG.standard_normal(25))])
CURVE = np.geomspace(1e6, 1e10, 24)
LONG = np.geomspace(1e5, 1e11, 48)
MANY_N, MANY_D = (g.ravel() for g in np.meshgrid(np.geomspace(2e7, 6e9, 6), np.geomspace(1e9, 1e12, 6)))
REPEATS = np.stack([MANY_N, MANY_D, MANY_D / np.tile([1, 3, 10, 30, 1, 100], 6)])
LOSSES = np.linspace(0.5, 1.6, 16)

# law, inputs, several sets of parameters
TRUTHS: dict[str, tuple[Array, list[list[float]]]] = {
    "power": (CURVE, [[40.0, 0.06], [1e5, 0.9], [0.3, -0.1]]),
    "power-floor": (CURVE, [[1.6, 160.0, 0.35], [0.2, 4.0, 0.05], [3.0, 1e7, 1.1]]),
    "product": (MEASURED, [[3.0, -0.05, -0.07, 0.02], [0.1, 0.2, -0.3, -0.05]]),
    "product-nd": (SURFACE, [[3.0, -0.05, -0.07], [900.0, -0.3, -0.2]]),
    "product-nc": (MEASURED[[0, 2]], [[3.0, -0.05, -0.07]]),
    "product-dc": (MEASURED[1:], [[3.0, 0.05, -0.07]]),
    "product-n": (SURFACE[:1], [[3.0, -0.05]]),
    "product-d": (SURFACE[1:], [[3.0, -0.05]]),
    "product-c": (MEASURED[2:], [[3.0, -0.05]]),
    "kaplan": (
        SURFACE,
        [[8.8e13, 5.4e13, 0.076, 0.095], [1e10, 2e12, 0.3, 0.2], [6.4e13, 1.8e13, 0.076, 0.103]],
    ),
    "chinchilla": (SURFACE, [[1.8, 480.0, 2100.0, 0.35, 0.37], [1.69, 406.4, 410.7, 0.34, 0.28]]),
    "repeated": (
        REPEATS,
        [[1.87, 521.0, 1488.0, 0.353, 0.353, 15.39, 5.31], [1.5, 300.0, 3000.0, 0.32, 0.38, 4.0, 20.0]],
    ),
    "bnsl": (
        CURVE,
        [
            [0.3, 40.0, 0.05, 0.6, 1e8, 0.5],
            [1.5, 2e3, 0.4, -0.25, 3e8, 0.3],
            [0.1, 3.0, -0.02, 0.5, 2e7, 0.2],
        ],
    ),
    "bnsl-2": (LONG, [[0.3, 40.0, 0.05, 0.6, 1e7, 0.3, -0.4, 1e9, 0.3]]),
    "error-decay": (np.linspace(1.8, 4, 14), [[0.85, 2.0, 0.7], [0.99, 5.0, 1.5]]),
    "sigmoid": (LOSSES, [[-0.7, 6.0, 1.0, 0.95], [-0.5, 4.0, 0.8, 0.75], [0.6, 5.0, 1.2, 0.1]]),
}
CASES = [(law, x, truth) for law, (x, truths) in TRUTHS.items() for truth in truths]


def scatter(law: str, curve: Array, noise: float, seed: int) -> Array:
    """Runs about a curve, evenly on the law's link."""
    link = LAWS[law].link
    drawn = noise * np.random.default_rng(seed).standard_normal(curve.size)
    return link.back(link.to(curve) + drawn)


def test_every_law_is_in_this_table() -> None:
    assert TRUTHS.keys() == LAWS.keys()


@pytest.mark.parametrize("loss", ["huber", "least-squares"])
@pytest.mark.parametrize(
    ("law", "x", "truth"), CASES, ids=[f"{law}-{i}" for i, (law, *_) in enumerate(CASES)]
)
def test_a_law_recovers_its_own_parameters(law: str, x: Array, truth: list[float], loss: str) -> None:
    found = fit(law, x, LAWS[law].predict(x, np.array([truth]))[0], loss=loss)
    assert found.converged
    assert found.identified
    assert list(found.parameters.values()) == pytest.approx(truth, rel=1e-6)
    assert list(found.second_opinion.values()) == pytest.approx(truth, rel=1e-6)


@pytest.mark.parametrize("law", TRUTHS)
def test_derivatives_match_central_differences(law: str) -> None:
    x, (truth, *_) = TRUTHS[law]
    known = LAWS[law]
    y = known.predict(x, np.array([truth]))
    x0 = np.exp(np.log(x).mean(axis=-1))
    u = x / x0[..., None]
    v = y if known.of_shares else y / y.mean()
    theta = np.clip(known.starts(u, v, np.ones_like(v))[:, 0], known.lower + 1e-3, known.upper)
    for i in range(theta.shape[-1]):
        step = np.zeros_like(theta)
        step[..., i] = 1e-6
        slope = (known.log_curve(theta + step, u) - known.log_curve(theta - step, u)) / 2e-6
        np.testing.assert_allclose(known.log_jacobian(theta, u)[..., i], slope, rtol=1e-5, atol=1e-7)


def test_formulas_at_values_worked_out_by_hand() -> None:
    one = np.array(1.0)
    assert product(4 * one, 9 * one, 2 * one, 5.0, 0.5, -0.5, 1.0) == pytest.approx(5 * 2 / 3 * 2)
    assert kaplan(8 * one, 4 * one, 64.0, 12.0, 0.5, 0.25) == pytest.approx((8**2 + 3) ** 0.25)
    assert error_decay(2 * one, 0.9, 0.5, 0.25) == pytest.approx(0.9 - 0.5 * math.exp(-0.5))
    assert sigmoid(1.5 * one, -0.6, 4.0, 1.0, 0.9) == pytest.approx(0.9 - 0.6 / (1 + math.exp(-2)))
    x, a, b, c0, c1, d1, f1 = 300.0, 0.5, 7.0, 0.2, 0.3, 100.0, 0.25
    expected = a + b * x**-c0 * (1 + (x / d1) ** (1 / f1)) ** (-c1 * f1)
    assert bnsl(np.array(x), *map(np.array, (a, b, c0, c1, d1, f1))) == pytest.approx(expected)


def test_repeated_data_and_excess_parameters_are_worth_less() -> None:
    """Against a scalar transcription of Muennighoff et al.'s eqs. 5 to 7 with their fitted values."""
    E, A, B, alpha, beta, RD, RN = 1.87, 521.0, 1488.0, 0.353, 0.353, 15.39, 5.31
    for n, d, u in ((1e9, 1e11, 1e10), (1e8, 1e10, 1e10), (5e9, 2e10, 5e9), (1e9, 5e9, 1e10)):
        once = min(u, d)
        G = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
        U_N = min((once * G) ** (beta / alpha) * G, n)
        D_ = once + once * RD * (1 - math.exp(-(d / once - 1) / RD))
        N_ = U_N + U_N * RN * (1 - math.exp(-(n / U_N - 1) / RN))
        told = repeated(*map(np.array, (n, d, u, E, A, B, alpha, beta, RD, RN)))
        assert told == pytest.approx(E + A / N_**alpha + B / D_**beta, rel=1e-12)


def test_the_best_size_for_tokens_seen_once_has_the_least_loss_for_its_compute() -> None:
    A, B, alpha, beta, tokens = 480.0, 2100.0, 0.35, 0.37, 3e10
    best = float(best_size(*map(np.array, (tokens, A, B, alpha, beta))))
    compute = best * tokens
    least = minimize_scalar(
        lambda log_n: A * math.exp(log_n) ** -alpha + B * (compute / math.exp(log_n)) ** -beta,
        bounds=(10, 35),
        method="bounded",
        options={"xatol": 1e-10},
    )
    assert math.log(best) == pytest.approx(least.x, abs=1e-5)


def test_a_law_is_added_by_formula_bounds_and_grid() -> None:
    def saturating(x: Array, top: Array, half: Array) -> Array:
        return top * x / (x + half)

    law = build_law(
        "saturating",
        saturating,
        "y = top·x/(x + half)",
        "Monod 1949",
        [
            Parameter("top", 1e-9, unit=lambda p, x0, y0: np.asarray(y0)),
            Parameter("half", 1e-4, 1e4, np.geomspace(0.01, 100, 15), True, lambda p, x0, y0: x0[0]),
        ],
    )
    x = np.geomspace(1, 1e4, 10)
    found = fit_many(law, x, saturating(x, np.array(7.0), np.array(250.0))[None])
    assert found.converged.all()
    np.testing.assert_allclose(found.parameters, [[7.0, 250.0]], rtol=1e-9)


NOISY: dict[str, tuple[Array, float]] = {  # runs and noise that pin every parameter down
    "product-nd": (SURFACE, 0.005),
    "kaplan": (SURFACE, 0.002),
    "error-decay": (np.linspace(1.8, 4, 28), 0.02),
    "sigmoid": (np.linspace(0.5, 1.6, 32), 0.02),
}


@pytest.mark.parametrize("law", NOISY)
def test_intervals_cover_their_parameters(law: str) -> None:
    """90 % intervals over 12 tables: as many hold as a coverage of 80 % makes likely, or more."""
    (x, noise), truth = NOISY[law], TRUTHS[law][1][0]
    curve = LAWS[law].predict(x, np.array([truth]))[0]
    held = 0
    for seed in range(12):
        y = scatter(law, curve, noise, seed)
        boot = resample(fit(law, x, y, starts=0), x, y, replicates=60, seed=seed)
        ends = boot.interval(0.9).values()
        held += sum(low <= value <= high for value, (low, high) in zip(truth, ends, strict=True))
    assert held >= binom.ppf(0.01, 12 * len(truth), 0.8)


def test_bands_of_a_share_stay_between_zero_and_one() -> None:
    x, (truth, *_) = TRUTHS["sigmoid"]
    y = scatter("sigmoid", LAWS["sigmoid"].predict(x, np.array([truth]))[0], 0.3, 0)
    boot = resample(fit("sigmoid", x, y), x, y, replicates=100, seed=0)
    band = boot.prediction(np.array([0.05, 0.4, 3.0]), 0.98)
    assert ((band > 0) & (band < 1)).all()


def test_a_percentage_is_no_share() -> None:
    with pytest.raises(
        InputError, match="y has 54; the law is of shares, between zero and one: divide percent"
    ):
        fit("sigmoid", LOSSES, np.linspace(54, 30, LOSSES.size))


def test_log_odds_are_undone_and_differentiated() -> None:
    share = np.array([1e-6, 0.2, 0.5, 0.999])
    odds = LOG_ODDS.to(share)
    np.testing.assert_allclose(LOG_ODDS.back(odds), share, rtol=1e-9)
    np.testing.assert_allclose(
        LOG_ODDS.slope(odds), (LOG_ODDS.back(odds + 1e-6) - LOG_ODDS.back(odds - 1e-6)) / 2e-6, rtol=1e-5
    )
