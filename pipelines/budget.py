"""A rung's training: how many tokens, and by a named rule the learning rate, batch, warm-up and the rest.

Rules choose from a rung's non-embedding size N alone; what the recipe gives replaces their choice.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

from pipelines.recipe import Budget, Training

# small-ladder: fitted by eye to a sweep of six shapes from 12,768 to 1,044,160 parameters at 1M tokens
# (benchmarks/learning_rate_sweep.py; the table stands in docs/results.md). Wide rungs fall off a cliff above
# their best rate (1x96: 4.32 nats at 0.004, 4.62 at 0.008) and lose little below it, so the rule stays low.
SMALL_RATE_AT_100K = 4.6e-3
SMALL_RATE_EXPONENT = -0.35
SMALL_RATE_RANGE = (5e-4, 9e-3)
SMALL_BATCH_TOKENS = 2048
SMALL_WARMUP_FRACTION = 0.1
SMALL_WEIGHT_DECAY = 0.1
SMALL_BETA2 = 0.95
SMALL_DECAY_FRACTION = 0.2

# olmo-ladder: OLMo-core, src/olmo_core/model_ladder/wsds_chinchilla_run_configurator.py, which takes the
# formulas from Porian 2024 (arXiv 2406.19146) and halves the rate for its schedule; made for 60M parameters
# and more.
OLMO_RATE = 0.0047 / 2
OLMO_BATCH_TOKENS = 160 * 2048
OLMO_REFERENCE = 108e6
# The rate is held below this size: it asks 0.03 at 50k, where loss was seen to rise from 5.34 to 5.64.
OLMO_SMALLEST = 10e6
OLMO_WEIGHT_DECAY = 0.1
OLMO_DECAY_FRACTION = 0.1
OLMO_LARGE_BATCH_TOKENS = 524_288

BETA1 = 0.9
FINETUNE_RATE_SHARE = 1 / 3  # of the pretraining rate, for models under 10M parameters trained from scratch


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a rule chooses for a rung; `batch_tokens` before rounding to whole windows."""

    learning_rate: float
    batch_tokens: float
    warmup_tokens: float
    weight_decay: float
    beta2: float
    decay_fraction: float


@dataclass(frozen=True, kw_only=True)
class Hyper:
    """Everything that decides a rung's training, resolved. `tokens` is `steps * batch_tokens`."""

    learning_rate: float
    batch_tokens: int
    warmup_tokens: int
    weight_decay: float
    beta1: float
    beta2: float
    schedule: str
    decay_fraction: float
    clip: float
    steps: int
    tokens: int


def small_ladder(n: int, tokens: float) -> Choice:
    """For 10k to 10M parameters: the learning rate a power law of N, held in its swept range; one batch."""
    rate = SMALL_RATE_AT_100K * (n / 1e5) ** SMALL_RATE_EXPONENT
    return Choice(
        learning_rate=min(max(rate, SMALL_RATE_RANGE[0]), SMALL_RATE_RANGE[1]),
        batch_tokens=SMALL_BATCH_TOKENS,
        warmup_tokens=SMALL_WARMUP_FRACTION * tokens,
        weight_decay=SMALL_WEIGHT_DECAY,
        beta2=SMALL_BETA2,
        decay_fraction=SMALL_DECAY_FRACTION,
    )


def olmo_ladder(n: int, tokens: float) -> Choice:
    """OLMo-core's ladder: rate 0.0047·(N/108e6)^(-1/3) / 2, batch 160·2048·(N/108e6)^(2/3), warm-up N tokens.

    Held where it was not made for: the rate's N at 10M at least, the warm-up at half of all tokens at most.
    """
    batch_tokens = OLMO_BATCH_TOKENS * (n / OLMO_REFERENCE) ** (2 / 3)
    return Choice(
        learning_rate=OLMO_RATE * (max(n, OLMO_SMALLEST) / OLMO_REFERENCE) ** (-1 / 3),
        batch_tokens=batch_tokens,
        warmup_tokens=min(n, tokens / 2),
        weight_decay=OLMO_WEIGHT_DECAY,
        beta2=0.95 if batch_tokens >= OLMO_LARGE_BATCH_TOKENS else 0.99,
        decay_fraction=OLMO_DECAY_FRACTION,
    )


RULES: dict[str, Callable[[int, float], Choice]] = {
    "small-ladder": small_ladder,
    "olmo-ladder": olmo_ladder,
    # Rate and batch must be given with it (the recipe checks that); the rest is small-ladder's.
    "fixed": small_ladder,
}


def tokens_of(budget: Budget, non_embedding: int, flops_per_token: int | None) -> float:
    """The tokens a budget gives a rung; a budget in FLOPs needs training's `flops_per_token`."""
    if budget.tokens is not None:
        return budget.tokens
    if budget.tokens_per_param is not None:
        return budget.tokens_per_param * non_embedding
    assert budget.flops is not None, "the recipe checked that one budget is given"
    assert flops_per_token is not None, "the recipe checked that the vocabulary is known"
    return budget.flops / flops_per_token


def choose_hyper(training: Training, non_embedding: int, tokens: float, context: int) -> Hyper:
    """The rule's choices with the recipe's in their place, in whole windows and whole steps.

    `tokens`: the wanted budget; whole steps that cover it are trained. `context`: tokens a window.
    """
    choice = RULES[training.rule](non_embedding, tokens)
    given = {name: value for name in asdict(choice) if (value := getattr(training, name)) is not None}
    chosen = asdict(choice) | given
    batch_tokens = max(1, round(chosen["batch_tokens"] / context)) * context
    steps = math.ceil(tokens / batch_tokens)
    return Hyper(
        learning_rate=chosen["learning_rate"],
        batch_tokens=batch_tokens,
        warmup_tokens=round(chosen["warmup_tokens"]),
        weight_decay=chosen["weight_decay"],
        beta1=BETA1,
        beta2=chosen["beta2"],
        schedule=training.schedule,
        decay_fraction=chosen["decay_fraction"],
        clip=training.clip,
        steps=steps,
        tokens=steps * batch_tokens,
    )
