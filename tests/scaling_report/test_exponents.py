"""Exponents of two ladders: the paired test against Student's t in closed form, its errors, the crossing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import linregress, t

from scaling_report.exponents import Ladder, compare_exponents, find_crossing, holm, match

SIZES = np.geomspace(1e4, 1e6, 6)


def _ladder(exponent: float, noise: np.ndarray | float = 0.0, scale: float = 15.0) -> Ladder:
    names = tuple(f"r{i}" for i in range(SIZES.size))
    seeds = (frozenset({0}),) * SIZES.size
    return Ladder(names, seeds, SIZES, np.log(scale * SIZES**-exponent) + noise)


def _noise(seed: int, shared: float = 0.02, own: float = 0.005) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    both = shared * rng.standard_normal(SIZES.size)
    return both + own * rng.standard_normal(SIZES.size), both + own * rng.standard_normal(SIZES.size)


def test_paired_at_the_same_sizes_it_is_the_t_test_of_the_slope_of_the_ratio():
    one, other = _noise(2)
    a, b = _ladder(0.30, one), _ladder(0.29, other)
    found = compare_exponents(a, b, "power", replicates=4000, seed=0)
    line = linregress(np.log(SIZES), b.log_y - a.log_y)
    half = t.ppf(0.975, SIZES.size - 2) * line.stderr
    assert found.paired
    assert found.difference == pytest.approx(line.slope, rel=1e-9)
    assert found.interval == pytest.approx((line.slope - half, line.slope + half), abs=0.15 * half)
    assert found.p_value == pytest.approx(line.pvalue, abs=0.02)


def test_what_rungs_share_cancels_only_in_the_paired_test():
    one, other = _noise(1)
    a, b = _ladder(0.30, one), _ladder(0.287, other)
    paired = compare_exponents(a, b, "power", replicates=1000, seed=0)
    apart = compare_exponents(a, b, "power", replicates=1000, seed=0, paired=False)
    assert np.ptp(paired.interval) < 0.5 * np.ptp(apart.interval)
    assert paired.p_value < 0.05 < apart.p_value


def test_intervals_cover_and_equal_exponents_are_called_different_one_time_in_twenty():
    covered, flagged, seen = [], [], []
    for seed in range(40):
        one, other = _noise(seed)
        a, same, less = _ladder(0.3, one), _ladder(0.3, other), _ladder(0.27, other)
        equal = compare_exponents(a, same, "power", replicates=200, seed=seed)
        covered.append(equal.interval[0] <= 0.0 <= equal.interval[1])
        flagged.append(equal.p_value < 0.05)
        if seed < 10:
            seen.append(compare_exponents(a, less, "power", replicates=200, seed=seed).p_value < 0.05)
    assert np.mean(covered) >= 0.85  # of 0.95; 34 of 40 or more in 99.7 % of such tests
    assert np.mean(flagged) <= 0.15
    assert all(seen)


def test_a_floor_is_allowed_for_where_the_law_has_one():
    a, b = _ladder(0.5, scale=300.0), _ladder(0.4, scale=100.0)
    with_floor = [Ladder(one.rungs, one.seeds, one.x, np.log(1.5 + np.exp(one.log_y))) for one in (a, b)]
    found = compare_exponents(*with_floor, "power-floor", replicates=50, seed=0)
    assert found.difference == pytest.approx(0.1, abs=1e-4)


def test_curves_cross_where_their_formulas_say():
    noise = 0.001 * np.random.default_rng(0).standard_normal(SIZES.size)
    found = compare_exponents(
        _ladder(0.3, noise, 15.0), _ladder(0.2, -noise, 4.5), "power", replicates=200, seed=0
    )
    crossing = find_crossing(found, 0.9)
    assert crossing is not None
    assert crossing.x == pytest.approx((15.0 / 4.5) ** (1 / 0.1), rel=0.05)
    assert crossing.interval[0] < (15.0 / 4.5) ** 10 < crossing.interval[1]
    assert crossing.share == 1.0
    assert crossing.within
    parallel = compare_exponents(
        _ladder(0.3, 0.0, 15.0), _ladder(0.3, 0.0, 4.5), "power", replicates=50, seed=0
    )
    assert find_crossing(parallel, 0.9) is None


def test_rungs_match_by_name_or_size_and_only_with_the_same_seeds():
    zero, two = frozenset({0}), frozenset({0, 1})
    sizes = np.array([1e4, 1e5, 1e6])
    a = Ladder(("s", "m", "l"), (zero, zero, two), sizes, np.zeros(3))
    b = Ladder(("s", "other", "l"), (zero, zero, zero), sizes * np.array([1.5, 1.04, 1.0]), np.zeros(3))
    assert match(a, b) == [(0, 0), (1, 1)]


def test_ladders_without_matching_rungs_are_drawn_apart():
    a = _ladder(0.3, _noise(0)[0])
    b = Ladder(tuple(f"s{i}" for i in range(6)), a.seeds, SIZES * 1.5, a.log_y)
    assert not compare_exponents(a, b, "power", replicates=100, seed=0).paired


def test_holm_on_a_worked_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])  # Holm 1979's procedure
