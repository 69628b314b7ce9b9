"""The trend test against scipy's regression, and on what has no trend."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import linregress

from scaling_report.frame import Point
from scaling_report.trend import Trend, find_trend

SIZES = np.geomspace(13e3, 1e6, 7)


def points(values: np.ndarray, sizes: np.ndarray = SIZES) -> list[Point]:
    axes = ("non_embedding", "total", "matmul", "flops", "tokens")
    return [
        Point(rung=f"r-{x:.0f}", seed=i, x=dict.fromkeys(axes, float(x)), value=float(y), stderr=None, n=None)
        for i, (x, y) in enumerate(zip(sizes, values, strict=True))
    ]


def test_slope_and_p_value_are_those_of_a_regression() -> None:
    values = np.array([0.31, 0.30, 0.35, 0.33, 0.41, 0.40, 0.46])
    trend = find_trend(points(values), "flops")
    expected = linregress(np.log10(SIZES), values)
    assert trend.slope == pytest.approx(expected.slope)
    assert trend.p_value == pytest.approx(expected.pvalue)
    low, high = trend.interval or (0, 0)
    assert high - low == pytest.approx(2 * 2.570582 * expected.stderr)  # t, 5 degrees of freedom, 97.5 %
    assert trend.verdict == "rises"


def test_a_falling_series_falls() -> None:
    assert find_trend(points(2.2 - 0.1 * np.log(SIZES / 13e3) ** 0.8), "flops").verdict == "falls"


def test_seeds_are_averaged_and_are_no_further_evidence() -> None:
    sizes = np.repeat(SIZES, 4)
    rng = np.random.default_rng(0)
    means = rng.normal(size=7)
    seeds = np.repeat(means, 4) + np.tile([-0.1, 0.1, -0.2, 0.2], 7)
    assert find_trend(points(seeds, sizes), "flops").p_value == pytest.approx(
        find_trend(points(means), "flops").p_value
    )


def test_pure_noise_has_a_trend_as_rarely_as_the_test_says() -> None:
    rng = np.random.default_rng(0)
    moved = [find_trend(points(rng.normal(size=7)), "flops").moves for _ in range(600)]
    assert 0.03 < np.mean(moved) < 0.07


@pytest.mark.parametrize("level", [0.0, 0.3, 1 / 3])
def test_a_constant_is_no_trend(level: float) -> None:
    trend = find_trend(points(np.full(7, level)), "flops")
    assert trend.verdict == "no trend"
    assert trend.p_value == 1.0


@pytest.mark.parametrize("sizes", [0, 1, 2])
def test_fewer_than_three_sizes_cannot_be_tested(sizes: int) -> None:
    found = find_trend(points(np.arange(sizes, dtype=float), SIZES[:sizes]), "flops")
    assert found == Trend(None, sizes, None, None, None)


def test_points_without_a_place_on_the_axis_are_not_used() -> None:
    known = points(np.arange(7.0))
    lost = Point(rung="r-lost", seed=0, x=dict.fromkeys(known[0].x, None), value=1e9, stderr=None, n=None)
    assert find_trend([*known, lost], "flops") == find_trend(known, "flops")
