"""Forecasts: what is hidden stays hidden, and a law must earn its place."""

from __future__ import annotations

import numpy as np
import pytest

from scaling_report.fits import fit
from scaling_report.forecast import (
    Candidate,
    backtest,
    choose_curve,
    hide_largest,
    last_value,
    log_log_line,
    predict_rung,
)
from scaling_report.frame import Series, from_results
from scaling_report.laws import LAWS, Array
from scaling_report.target import Target
from scaling_report.uncertainty import resample
from tests.scaling_report.synthetic import NAMES, SIZES, ladder, result

X = np.array(SIZES, dtype=float)
FLOOR = {"e": 1.6, "a": 16.5, "b": 0.35}


PLAIN = Target(None, 0.0)


def candidate(law: str, x: Array, y: Array) -> Candidate:
    return Candidate(law, PLAIN, x, y)


def bits(**changes: object) -> Series:
    return from_results(ladder(**changes)).series[0]  # type: ignore[arg-type]


@pytest.mark.parametrize("holdout", [0, 1, 2, 7, 9])
def test_the_largest_rungs_are_hidden_with_all_their_seeds(holdout: int) -> None:
    series = bits()
    visible, hidden = hide_largest(series, holdout, "non_embedding")
    assert {point.rung for point in hidden} == set(NAMES[max(7 - holdout, 1) :])
    assert sorted(map(id, (*visible, *hidden))) == sorted(map(id, series.points))


def test_what_is_measured_alone_is_not_hidden() -> None:
    visible, hidden = hide_largest(from_results([result("bits_per_byte", 2.0)]).series[0], 1, "non_embedding")
    assert (len(visible), hidden) == (1, ())


def test_the_largest_is_that_of_the_series_where_a_rung_failed() -> None:
    table = [
        result("bits_per_byte", value, size=size) for value, size in ((2.1, 50), (2.0, 100), (None, 900))
    ]
    _, hidden = hide_largest(from_results(table).series[0], 1, "non_embedding")
    assert [point.rung for point in hidden] == ["r-100"]


def test_a_backtest_never_sees_what_it_predicts_or_beyond() -> None:
    y = LAWS["power-floor"].curve(X, **FLOOR) * np.exp(0.003 * np.random.default_rng(0).standard_normal(7))
    before = backtest(candidate("power-floor", X, y))
    y[-1] *= 2
    after = backtest(candidate("power-floor", X, y))
    assert before[X[4]] == pytest.approx(after[X[4]], rel=1e-4)
    assert before[X[5]] == pytest.approx(after[X[5]], rel=1e-4)
    assert after[X[6]] == pytest.approx(before[X[6]] + np.log(2), abs=2 * before[X[6]])


def test_a_law_forecasts_its_own_data_without_error() -> None:
    errors = backtest(candidate("power-floor", X, LAWS["power-floor"].curve(X, **FLOOR)))
    assert list(errors) == list(X[4:])
    assert max(errors.values()) < 1e-8


def test_the_law_that_the_data_follow_is_choose_curve() -> None:
    rng = np.random.default_rng(0)
    floors = powers = 0
    for _ in range(20):
        noise = np.exp(0.002 * rng.standard_normal(7))
        floors += choose_curve(X, LAWS["power-floor"].curve(X, **FLOOR) * noise) == "power-floor"
        powers += choose_curve(X, LAWS["power"].curve(X, 4.2, 0.06) * noise) == "power"
    assert floors == 20
    assert powers >= 15


def test_laws_without_a_backtest_leave_the_simplest_and_too_few_sizes_leave_none() -> None:
    y = LAWS["power-floor"].curve(X, **FLOOR)
    assert choose_curve(X[:4], y[:4]) == "power"
    assert choose_curve(X[:3], y[:3]) == "power"
    assert choose_curve(X[:2], y[:2]) is None


def test_the_last_value_is_the_mean_of_the_largest_rung_in_sight() -> None:
    table = [result("bits_per_byte", value, seed=seed) for seed, value in enumerate((1.0, 2.0))]
    points = from_results([*table, result("bits_per_byte", 9.0, size=10)]).series[0].points
    assert last_value(points, "non_embedding") == 1.5


def test_the_straight_line_is_exact_on_a_power_law_and_absent_at_zero() -> None:
    points = (
        from_results([result("bits_per_byte", 8 * size**-0.5, size=size) for size in (100, 400, 900)])
        .series[0]
        .points
    )
    assert log_log_line(points, "non_embedding", 1600) == pytest.approx(0.2)
    zero = from_results([result("bleu", value, size=100 + value) for value in (0.0, 1.0)]).series[0].points
    assert log_log_line(zero, "non_embedding", 1600) is None


def test_on_a_true_floor_the_law_beats_both_naive_forecasters() -> None:
    wins = 0
    for seed in range(10):
        series = bits(seed=seed)
        visible, hidden = hide_largest(series, 1, "non_embedding")
        x = np.array([point.x["non_embedding"] for point in visible], dtype=float)
        y = np.array([point.value for point in visible])
        found = fit("power-floor", x, y)
        forecast = predict_rung(
            hidden,
            visible,
            "non_embedding",
            law="power-floor",
            parameters=found.parameters,
            bootstrap=resample(found, x, y, replicates=100, seed=seed),
            target=PLAIN,
            level=0.9,
        )
        assert forecast.actual == hidden[0].value
        assert forecast.inside == (forecast.interval[0] <= forecast.actual <= forecast.interval[1])
        assert forecast.error_percent == pytest.approx(100 * (forecast.predicted / forecast.actual - 1))
        naive = (forecast.last_value.error_percent, forecast.log_log_line.error_percent)
        wins += all(
            guess is not None and abs(forecast.error_percent or 0) < abs(guess) / 2 for guess in naive
        )
    assert wins >= 9
