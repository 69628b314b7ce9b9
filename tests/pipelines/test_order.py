"""The order of an epoch: every place once, any place at once, and no better told from chance than chance."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from pipelines import order
from pipelines.order import Order, window_at


@pytest.mark.parametrize("seed", [0, 3])
def test_every_window_comes_once_whatever_their_number(seed: int) -> None:
    for count in [*range(1, 130), 1023, 1024, 1025, 4097, 99_991]:
        found = Order(count, seed, epoch=2).at(np.arange(count))
        assert np.array_equal(np.sort(found), np.arange(count)), count


def test_a_place_is_found_alone_as_among_others() -> None:
    whole = Order(5000, 1, 0).at(np.arange(5000))
    places = np.array([4999, 0, 17, 17, 2500])
    assert np.array_equal(Order(5000, 1, 0).at(places), whole[places])
    assert [window_at(int(place), 5000, 1, 0) for place in places] == whole[places].tolist()


def test_an_epoch_of_a_million_million_windows_is_an_order_too() -> None:
    count = 10**12 + 39
    places = np.unique(np.random.default_rng(0).integers(0, count, 20_000))
    found = Order(count, 7, 0).at(places)
    assert len(np.unique(found)) == len(places)
    assert found.min() >= 0
    assert found.max() < count
    observed = np.bincount(found * 100 // count, minlength=100)
    assert stats.chisquare(observed).pvalue > 1e-3


@pytest.mark.parametrize("count", [3, 4])
def test_small_orders_are_all_equally_frequent_over_the_seeds(count: int) -> None:
    tries = 60 * math.factorial(count)
    seen = Counter(tuple(Order(count, seed, 0).at(np.arange(count))) for seed in range(tries))
    counts = [seen[one] for one in itertools.permutations(range(count))]
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("count", [1000, 65_536, 100_003])
def test_neighbours_in_the_order_are_strangers_in_the_stream(count: int) -> None:
    """Serial correlation at lags one, two and a row of the square; positions by a chi-square of 10 by 10."""
    found = Order(count, 11, 4).at(np.arange(count)).astype(float)
    for lag in (1, 2, math.isqrt(count - 1) + 1):
        correlation = np.corrcoef(found[:-lag], found[lag:])[0, 1]
        assert abs(correlation) < 4 / math.sqrt(count), lag
    table, _, _ = np.histogram2d(np.arange(count), found, bins=10)
    assert stats.chi2_contingency(table).pvalue > 1e-3
    descents = (np.diff(found) < 0).sum()  # of a random permutation: mean (n - 1) / 2, variance (n + 1) / 12
    assert abs(descents - (count - 1) / 2) < 4 * math.sqrt((count + 1) / 12)
    # about as many windows stay where they were as by chance, one, and as many follow their neighbour
    assert (found == np.arange(count)).sum() < 8
    assert (np.diff(found) == 1).sum() < 8


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = [Order(3000, seed, epoch).at(np.arange(3000)) for seed in (0, 1) for epoch in (0, 1)]
    for one, other in itertools.combinations(orders, 2):
        assert (one == other).sum() < 10
        assert abs(np.corrcoef(one, other)[0, 1]) < 4 / math.sqrt(3000)


def test_the_order_is_the_same_on_every_machine() -> None:
    """Frozen: a run that is resumed elsewhere must go on in the same order."""
    found = Order(20, 0, 0)
    assert found.at(np.arange(20)).tolist() == [
        *(7, 12, 1, 9, 5, 16, 18, 2, 15, 14),
        *(6, 17, 3, 13, 0, 19, 8, 10, 11, 4),
    ]
    assert found.shift(1000) == 703


def test_blocks_that_are_kept_are_bounded() -> None:
    for place in range(0, 200 * order.BLOCK, order.BLOCK):
        window_at(place, 10**9, 0, 0)
    assert order._block.cache_info().currsize <= 64
