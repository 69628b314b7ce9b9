"""Budgets and rules: published constants, whole windows and steps, and the recipe's word over the rule's."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.budget import RULES, choose_hyper, olmo_ladder, small_ladder, tokens_of
from pipelines.recipe import Budget, Training


def make(tokens: float = 1e6, n: int = 100_000, context: int = 256, **training: Any) -> Any:
    return choose_hyper(Training(**training), n, tokens, context)


def test_a_budget_gives_tokens_in_each_of_its_units() -> None:
    assert tokens_of(Budget(tokens=1000), non_embedding=7, flops_per_token=None) == 1000
    assert tokens_of(Budget(tokens_per_param=20), non_embedding=50_000, flops_per_token=None) == 1_000_000
    assert tokens_of(Budget(flops=6e9), non_embedding=7, flops_per_token=3000) == 2_000_000


def test_steps_cover_the_budget_and_tokens_are_whole_steps() -> None:
    hyper = make(tokens=1_000_000, batch_tokens=4096)
    assert (hyper.steps, hyper.tokens) == (245, 245 * 4096)
    exact = make(tokens=8192, batch_tokens=4096)
    assert (exact.steps, exact.tokens) == (2, 8192)


@pytest.mark.parametrize("rule", ["small-ladder", "olmo-ladder"])
@pytest.mark.parametrize("n", [3_000, 50_000, 1_000_000, 100_000_000])
@pytest.mark.parametrize("context", [64, 100, 1024, 65_536])
def test_batches_are_whole_windows(rule: str, n: int, context: int) -> None:
    hyper = make(n=n, context=context, rule=rule)
    assert hyper.batch_tokens >= context
    assert hyper.batch_tokens % context == 0


def test_olmo_rule_gives_its_published_values_at_its_reference_size() -> None:
    choice = olmo_ladder(108_000_000, tokens=20 * 108e6)
    assert choice.learning_rate == pytest.approx(0.00235)
    assert choice.batch_tokens == 327_680
    assert choice.warmup_tokens == 108_000_000
    assert (choice.weight_decay, choice.decay_fraction, choice.beta2) == (0.1, 0.1, 0.99)


def test_olmo_rule_scales_by_its_powers_and_lowers_beta2_for_large_batches() -> None:
    choice = olmo_ladder(8 * 108_000_000, tokens=1e12)
    assert choice.learning_rate == pytest.approx(0.00235 / 2)
    assert choice.batch_tokens == pytest.approx(4 * 327_680)
    assert choice.beta2 == 0.95


def test_olmo_rule_is_held_below_its_range() -> None:
    """Unheld it asks 0.03 at 50k, and a warm-up longer than a small budget."""
    small = olmo_ladder(50_000, tokens=60_000)
    assert small.learning_rate == olmo_ladder(10_000_000, tokens=1e9).learning_rate < 0.006
    assert small.warmup_tokens == 30_000


def test_small_rule_never_leaves_its_swept_range_and_falls_with_size() -> None:
    rates = [small_ladder(n, tokens=1e6).learning_rate for n in (10**2, 10**4, 10**5, 10**6, 10**9)]
    assert rates == sorted(rates, reverse=True)
    assert 1e-4 < rates[-1] < rates[0] < 0.03


@pytest.mark.parametrize("rule", sorted(RULES))
def test_what_the_recipe_gives_replaces_the_rules_choice(rule: str) -> None:
    given = {
        "learning_rate": 0.5,
        "batch_tokens": 512,
        "warmup_tokens": 0,
        "weight_decay": 0.0,
        "beta2": 0.5,
        "decay_fraction": 1.0,
    }
    hyper = make(rule=rule, schedule="linear", clip=2.0, **given)
    assert {name: getattr(hyper, name) for name in given} == given
    assert (hyper.schedule, hyper.clip) == ("linear", 2.0)
