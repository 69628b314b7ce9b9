"""Bands against Student's t, scatter against an analysis of variance, coverage against what was promised."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student

from scaling_report.fits import FitResult, fit
from scaling_report.laws import LAWS
from scaling_report.losses import LEAST_SQUARES
from scaling_report.uncertainty import measure_scatter, resample, share_weights

SIZES = np.geomspace(13e3, 1e6, 7)
LARGER = np.array([2e6])


def a_fit(residuals: list[float], parameters: int = 2) -> FitResult:
    names = ("a", "b", "c")[:parameters]
    return FitResult(
        law="power",
        parameters=dict.fromkeys(names, 1.0),
        n=len(residuals),
        sizes=len(residuals),
        objective=0.0,
        converged=True,
        at_bound=(),
        log_residuals=tuple(residuals),
        second_opinion={},
    )


def test_scatter_without_repeats_is_the_residual_standard_deviation() -> None:
    residuals = [0.1, -0.2, 0.3, -0.1, 0.0]
    scatter = measure_scatter(a_fit(residuals), np.arange(1.0, 6))
    assert scatter.between_rungs == pytest.approx(np.sqrt(0.15 / 3))
    assert scatter.between_seeds is None
    assert scatter.dof == 3


def test_scatter_splits_into_rungs_and_seeds_as_an_analysis_of_variance() -> None:
    x = np.repeat([1.0, 2.0, 3.0, 4.0], 2)
    scatter = measure_scatter(a_fit([0.3, 0.1, -0.3, -0.1, 0.2, 0.2, -0.2, -0.2]), x)
    within = (0.02 + 0.02) / 4
    of_means = (0.2**2 * 4) / 2
    assert scatter.between_seeds == pytest.approx(np.sqrt(within))
    assert scatter.between_rungs == pytest.approx(np.sqrt(of_means - within / 2))
    assert scatter.of_mean(2) ** 2 == pytest.approx(of_means)


def test_seeds_that_explain_everything_are_pooled() -> None:
    x = np.repeat([1.0, 2.0, 3.0, 4.0], 2)
    scatter = measure_scatter(a_fit([0.1, -0.1] * 4), x)
    assert scatter.between_rungs == 0
    assert scatter.between_seeds == pytest.approx(np.sqrt(0.08 / 6))
    assert scatter.dof == 6


def test_a_size_weighs_one_however_many_seeds_it_has() -> None:
    np.testing.assert_allclose(
        share_weights(np.array([5.0, 1.0, 5.0, 5.0, 2.0])), [1 / 3, 1, 1 / 3, 1 / 3, 1]
    )


def test_the_bands_of_a_straight_line_are_students() -> None:
    rng = np.random.default_rng(1)
    y = 4 * SIZES**-0.06 * np.exp(0.01 * rng.standard_normal(7))
    found = fit("power", SIZES, y, loss=LEAST_SQUARES)
    bootstrap = resample(found, SIZES, y, replicates=8000, seed=0, loss=LEAST_SQUARES)
    log_x, at = np.log(SIZES), np.log(LARGER[0])
    spread = ((log_x - log_x.mean()) ** 2).sum()
    sd = np.sqrt(np.square(found.log_residuals).sum() / 5)
    leverage = 1 / 7 + (at - log_x.mean()) ** 2 / spread
    for band, variance in (
        (bootstrap.confidence(LARGER, 0.9), leverage),
        (bootstrap.prediction(LARGER, 0.9), 1 + leverage),
    ):
        width = np.log(band[0, 1] / band[0, 0])
        assert width == pytest.approx(2 * student.ppf(0.95, 5) * sd * np.sqrt(variance), rel=0.05)
    error = sd / np.sqrt(spread) * student.ppf(0.841345, 5)
    assert bootstrap.standard_errors()["b"] == pytest.approx(error, rel=0.05)


@pytest.mark.parametrize(("rungs_sd", "seeds_sd"), [(0.0, 0.003), (0.003, 0.001)], ids=["seeds", "rungs"])
def test_prediction_intervals_hold_as_often_as_they_say(rungs_sd: float, seeds_sd: float) -> None:
    """Ten runs of a known law, the largest rung hidden: 90 % intervals, with room for 100 trials."""
    rng = np.random.default_rng(7)
    truth = LAWS["power-floor"].curve(SIZES, e=1.6, a=16.5, b=0.35)
    rung_of_run = np.array([0, 0, 1, 1, 2, 2, 3, 4, 5])
    x = SIZES[rung_of_run]
    held = 0
    for trial in range(100):
        peculiar = rungs_sd * rng.standard_normal(7)
        y = truth[rung_of_run] * np.exp(peculiar[rung_of_run] + seeds_sd * rng.standard_normal(9))
        new = truth[6] * np.exp(peculiar[6] + seeds_sd * rng.standard_normal())
        found = fit("power-floor", x, y, weights=share_weights(x))
        bootstrap = resample(found, x, y, replicates=100, seed=trial)
        low, high = bootstrap.prediction(SIZES[6:], 0.9)[0]
        held += low <= new <= high
    assert 0.82 <= held / 100 <= 0.98


def test_noiseless_data_have_bands_without_width() -> None:
    y = LAWS["power-floor"].curve(SIZES, e=1.6, a=16.5, b=0.35)
    bootstrap = resample(fit("power-floor", SIZES, y), SIZES, y, replicates=100, seed=0)
    low, high = bootstrap.prediction(LARGER, 0.9)[0]
    assert high / low - 1 < 1e-9
    assert bootstrap.failed == 0


def test_more_seeds_of_the_new_rung_narrow_its_interval() -> None:
    x = np.repeat(SIZES, 2)
    between_seeds_only = np.tile([0.02, -0.02], 7)
    y = 4 * x**-0.06 * np.exp(between_seeds_only)
    bootstrap = resample(fit("power", x, y), x, y, replicates=400, seed=0)
    one, nine = (np.ptp(bootstrap.prediction(LARGER, 0.9, runs=runs)) for runs in (1, 9))
    assert nine < 0.7 * one


def test_the_resampling_is_named_and_follows_the_number_of_sizes() -> None:
    for sizes, kind in ((7, "parametric"), (8, "rungs")):
        x = np.geomspace(1e4, 1e6, sizes)
        y = 4 * x**-0.06 * np.exp(0.01 * np.random.default_rng(0).standard_normal(sizes))
        bootstrap = resample(fit("power", x, y), x, y, replicates=100, seed=0)
        assert bootstrap.kind == kind
        assert len(bootstrap.inflation) == bootstrap.replicates - bootstrap.failed


def test_one_degree_of_freedom_gives_wide_but_finite_bands() -> None:
    x = SIZES[:3]
    y = np.array([3.0, 1.5, 2.5])
    bootstrap = resample(fit("power", x, y), x, y, replicates=400, seed=0)
    band = bootstrap.prediction(LARGER, 0.999)
    assert np.isfinite(band).all()
    assert band[0, 1] / band[0, 0] > 10


def test_the_same_seed_gives_the_same_bands() -> None:
    y = 4 * SIZES**-0.06 * np.exp(0.01 * np.random.default_rng(0).standard_normal(7))
    found = fit("power", SIZES, y)
    first, second, other = (resample(found, SIZES, y, replicates=100, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.prediction(LARGER, 0.9), second.prediction(LARGER, 0.9))
    assert (first.prediction(LARGER, 0.9) != other.prediction(LARGER, 0.9)).any()
