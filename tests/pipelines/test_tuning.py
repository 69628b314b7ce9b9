"""The sweep's choice against parabolas whose lowest point is known."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import pytest

from pipelines.tuning import choose

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)


def bowl(best: float, lowest: float = 3.0, width: float = 0.05) -> dict[float, float | None]:
    """Losses that are a parabola in log2 of the factor, lowest at `best`."""
    return {factor: lowest + width * math.log2(factor / best) ** 2 for factor in FACTORS}


@pytest.mark.parametrize("best", [0.37, 0.5, 0.8, 1.0, 1.9, 2.7])
def test_a_parabolas_lowest_point_is_found_between_the_tried_factors(best: float) -> None:
    choice = choose({"13k": bowl(best)}, {"13k": 13_000})
    assert choice.factor == pytest.approx(best)
    assert choice.optima[0].loss == pytest.approx(3.0)
    assert choice.warnings == ()
    assert choice.factor_for(13_000) == choice.factor_for(10**9) == choice.factor


def test_of_two_rungs_the_larger_weighs_more() -> None:
    choice = choose({"1k": bowl(0.5), "3k": bowl(1.0)}, {"1k": 1000, "3k": 3000})
    assert math.log2(choice.factor) == pytest.approx((-1 * 1000 + 0 * 3000) / 4000)
    assert choice.factor_for(10**6) == choice.factor


@pytest.mark.parametrize(("best", "kept"), [(0.1, 0.25), (9.0, 4.0)])
def test_an_optimum_at_the_edge_is_flagged_and_not_extrapolated(best: float, kept: float) -> None:
    choice = choose({"13k": bowl(best)}, {"13k": 13_000})
    assert choice.factor == kept
    assert not choice.optima[0].bounded
    (warning,) = choice.warnings
    assert f"13k is the last one tried, x{kept:g}" in warning
    assert "widen training.tune.factors" in warning


def test_a_rung_at_the_edge_does_not_move_one_that_is_not() -> None:
    choice = choose({"1k": bowl(9.0), "3k": bowl(0.8)}, {"1k": 1000, "3k": 3000})
    assert choice.factor == pytest.approx(0.8)
    assert len(choice.warnings) == 2
    assert "differ between sizes" in choice.warnings[1]


def test_diverged_rates_are_a_wall() -> None:
    points = bowl(1.0) | {2.0: None, 4.0: None}
    choice = choose({"13k": points}, {"13k": 13_000})
    assert choice.factor == 1.0
    assert "beside one that diverged" in choice.warnings[0]
    below = choose({"13k": bowl(0.6) | {4.0: None}}, {"13k": 13_000})
    assert below.factor == pytest.approx(0.6)
    assert below.warnings == ()


def test_a_sweep_that_diverged_everywhere_keeps_the_rules_rate() -> None:
    choice = choose({"13k": dict.fromkeys(FACTORS)}, {"13k": 13_000})
    assert choice.factor_for(10**6) == 1.0
    assert "diverged" in choice.warnings[0]


def test_a_rung_that_diverged_everywhere_is_named_and_left_out() -> None:
    choice = choose({"1k": dict.fromkeys(FACTORS), "3k": bowl(0.8)}, {"1k": 1000, "3k": 3000})
    assert choice.factor == pytest.approx(0.8)
    assert "every learning rate of 1k diverged" in choice.warnings[0]


def test_equal_losses_are_met_in_the_middle() -> None:
    flat: dict[float, float | None] = dict.fromkeys(FACTORS, 3.0)
    choice = choose({"13k": flat | {0.25: 3.1}}, {"13k": 13_000})
    assert choice.factor == pytest.approx(math.sqrt(0.5 * 1.0))
    assert not choose({"13k": flat}, {"13k": 13_000}).optima[0].bounded


def sized(bests: Mapping[int, float]) -> tuple[dict[str, dict[float, float | None]], dict[str, int]]:
    return {f"{size}": bowl(best) for size, best in bests.items()}, {f"{size}": size for size in bests}


def test_a_straight_drift_over_three_rungs_is_carried_up_but_not_beyond_what_was_tried() -> None:
    choice = choose(*sized({10**3: 2.0, 10**4: 2.0 * 10**-0.2, 10**5: 2.0 * 10**-0.4}))
    assert choice.drift == pytest.approx(-0.2)
    assert choice.factor_for(10**4) == pytest.approx(2.0 * 10**-0.2)
    assert choice.factor_for(10**6) == pytest.approx(2.0 * 10**-0.6)
    assert choice.factor_for(10**12) == 0.25
    assert choice.warnings == ()


def test_a_crooked_drift_is_told_and_not_carried_up() -> None:
    choice = choose(*sized({10**3: 2.0, 10**4: 0.6, 10**5: 1.1}))
    assert choice.drift == 0.0
    assert choice.factor_for(10**9) == choice.factor == pytest.approx(1.1, rel=0.1)
    assert "raise training.tune.rungs" in choice.warnings[0]


def test_two_rungs_show_no_drift() -> None:
    assert choose(*sized({10**3: 2.0, 10**4: 1.2})).drift == 0.0


def test_the_choice_stands_in_a_file() -> None:
    choice = choose({"13k": bowl(0.8)}, {"13k": 13_000})
    kept = json.loads(json.dumps(choice.to_json()))
    assert kept["factor"] == choice.factor
    assert kept["optima"][0]["rung"] == "13k"
    assert kept["why"] == "fewer than three rungs show no drift"
