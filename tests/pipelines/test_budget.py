"""Budgets and rules: published constants, whole windows and steps, and the recipe's word over the rule's."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

from pipelines.budget import (
    FINETUNE_RATE_SHARE,
    RULES,
    choose_hyper,
    finetune_defaults,
    olmo_ladder,
    resolve_rule,
    small_ladder,
    token_counts,
)
from pipelines.ladder import count_non_embedding, parse_shape
from pipelines.optim import decay_start, optimisation, rate_factor
from pipelines.recipe_ladder import Budget
from pipelines.recipe_training import Training, Tune


def make(
    tokens: float = 1e6,
    n: int = 100_000,
    context: int = 256,
    rule: str = "small-ladder",
    width: int = 64,
    first_tokens: float | None = None,
    **training: Any,
) -> Any:
    """What a rule makes of a recipe's training section; mup begins at a width of 32."""
    return choose_hyper(
        Training(**training),
        n,
        tokens,
        context,
        rule=rule,
        width=width,
        base_width=32,
        first_tokens=first_tokens,
    )


def test_a_budget_gives_tokens_in_each_of_its_units() -> None:
    assert token_counts(Budget(tokens=1000), 7, flops_per_token=None) == (1000,)
    assert token_counts(Budget(tokens=[10, 20]), 7, flops_per_token=None) == (10, 20)
    assert token_counts(Budget(tokens_per_param=20), 50_000, flops_per_token=None) == (1_000_000,)
    assert token_counts(Budget(flops=6e9), 7, flops_per_token=3000) == (2_000_000,)
    assert token_counts(Budget(isoflop=[3e9, 6e9]), 7, flops_per_token=3000) == (1_000_000, 2_000_000)


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
    given: dict[str, Any] = {
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


def test_a_hyper_is_json_and_an_optimisation_as_it_stands() -> None:
    given: dict[str, Any] = {
        "learning_rate": 0.2,
        "warmup_tokens": 20_480,
        "dropout": 0.1,
        "label_smoothing": 0.05,
    }
    hyper = make(optimizer="sgd", momentum=0.8, **given)
    assert (hyper.optimizer, hyper.momentum, hyper.dropout, hyper.label_smoothing) == ("sgd", 0.8, 0.1, 0.05)
    kept = json.loads(json.dumps(asdict(hyper)))
    how = optimisation(kept)
    assert (how.optimizer, how.momentum, how.warmup_steps, how.steps) == ("sgd", 0.8, 10, hyper.steps)
    assert how.learning_rate == hyper.learning_rate == 0.2


@pytest.mark.parametrize("rule", sorted(RULES))
def test_a_chain_of_token_counts_shares_its_stable_part(rule: str) -> None:
    counts = (100_000.0, 130_000.0, 400_000.0, 1_234_567.0)
    chain = [make(tokens=count, n=200_000, rule=rule, first_tokens=counts[0]) for count in counts]
    for name in set(asdict(chain[0])) - {"steps", "tokens"}:
        assert len({getattr(hyper, name) for hyper in chain}) == 1, name
    ways = [optimisation(asdict(hyper)) for hyper in chain]
    starts = [decay_start(how.steps, how.decay_fraction) for how in ways]
    assert starts == sorted(starts)
    assert starts[0] > ways[0].warmup_steps > 0
    for how, start in zip(ways[:-1], starts[:-1], strict=True):
        assert [how.rate(step) for step in range(start)] == [ways[-1].rate(step) for step in range(start)]


def test_without_a_first_count_the_warm_up_grows_with_the_tokens() -> None:
    assert make(tokens=2e6).warmup_tokens == 2 * make(tokens=1e6).warmup_tokens == 200_000
    assert rate_factor(97, 488, 98, "wsd", 0.2) == 1.0


def test_mup_gives_every_width_the_bases_rate_and_its_multiple() -> None:
    shapes = {width: parse_shape(f"2x{width}", 32) for width in (32, 64, 256)}
    hypers = {
        width: make(n=count_non_embedding(shape), rule="mup", width=width) for width, shape in shapes.items()
    }
    assert {width: hyper.mup_multiple for width, hyper in hypers.items()} == {32: 1.0, 64: 2.0, 256: 8.0}
    at_base = small_ladder(count_non_embedding(shapes[32]), 1e6).learning_rate
    assert hypers[32].learning_rate == at_base
    for hyper in hypers.values():
        assert hyper.learning_rate == pytest.approx(at_base, rel=2e-3)
    assert make(n=count_non_embedding(shapes[256])).learning_rate < at_base / 2
    assert {make(rule=rule, width=256).mup_multiple for rule in RULES} == {1.0}


def test_mup_begins_with_the_rule_of_its_bases_size() -> None:
    hyper = make(n=400_000_000, rule="mup", width=64)
    assert hyper.learning_rate == pytest.approx(
        olmo_ladder(400_000_000 * (12 * 32**2 + 13 * 32) // (12 * 64**2 + 13 * 64), 1e6).learning_rate,
        rel=1e-6,
    )


@pytest.mark.parametrize(
    ("training", "largest", "sweep", "expected"),
    [
        (Training(), 1_000_000, 20.0, ("small-ladder", True)),
        (Training(), 1_000_000, 20.1, ("small-ladder", False)),
        (Training(), 59_999_999, None, ("small-ladder", False)),
        (Training(), 60_000_000, None, ("olmo-ladder", False)),
        (Training(), 60_000_000, 1.0, ("olmo-ladder", True)),
        (Training(rule="small-ladder"), 10**9, 1.0, ("small-ladder", False)),
        (Training(rule="mup"), 10**6, 1.0, ("mup", False)),
        (Training(rule="tune"), 10**6, 1e9, ("small-ladder", True)),
        (Training(rule="tune"), 10**8, 1e9, ("olmo-ladder", True)),
        (Training(rule="tune", tune=Tune(carried_by="mup")), 10**8, 1e9, ("mup", True)),
    ],
)
def test_a_rule_is_resolved_and_auto_sweeps_where_that_costs_a_fifth(
    training: Training, largest: int, sweep: float | None, expected: tuple[str, bool]
) -> None:
    assert resolve_rule(training, largest, 100.0, sweep) == expected


def test_fine_tuning_defaults_are_the_published_ones() -> None:
    bert = finetune_defaults("bert", published=True, pretraining_rate=None)
    assert (bert.epochs, bert.learning_rates) == (4, (3e-4, 1e-4, 5e-5, 3e-5))  # Turc 2019
    gpt2 = finetune_defaults("gpt2", published=True, pretraining_rate=None)
    assert (gpt2.epochs, gpt2.learning_rates) == (3, (6.25e-5,))  # Radford 2018
    assert (gpt2.weight_decay, gpt2.beta1, gpt2.beta2) == (0.01, 0.9, 0.999)  # Devlin 2018


@pytest.mark.parametrize("family", ["gpt2", "bert"])
def test_models_trained_here_are_fine_tuned_at_a_share_of_their_rate(family: str) -> None:
    own = finetune_defaults(family, published=False, pretraining_rate=0.006)
    assert own.learning_rates == (0.006 * FINETUNE_RATE_SHARE,)
    assert own.learning_rates[0] == pytest.approx(0.002)
    assert own.epochs == 2
    unknown = finetune_defaults(family, published=False, pretraining_rate=None)
    assert max(unknown.learning_rates) < 1e-3
