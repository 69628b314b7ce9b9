"""A rung's training: how many tokens, and by a named rule the learning rate, batch, warm-up and the rest.

Rules choose from a rung's non-embedding size N, and `mup` from its width; what the recipe gives replaces
their choice.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from pipelines.recipe_ladder import Budget
from pipelines.recipe_training import Training

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
OLMO_FROM = 60_000_000  # non-embedding parameters; olmo-ladder was made for so many and more
SWEEP_SHARE = 0.2  # of the ladder's own FLOPs that `auto` spends on a sweep at most

# Fine-tuning. Published BERTs: Turc 2019 (arXiv 1908.08962, their models' card): 4 epochs, the best of four
# rates on validation. Published GPT-2s: Radford 2018 (section 4.1): rate 6.25e-5, 3 epochs. Models trained
# here: a share of their pretraining rate.
FINETUNE_RATE_SHARE = 1 / 3  # of the pretraining rate, for models under 10M parameters trained from scratch
FINETUNE_EPOCHS = 2.0
FINETUNE_WEIGHT_DECAY = 0.01  # Devlin 2018, appendix A.2; Radford 2018
FINETUNE_BETA2 = 0.999
PUBLISHED: dict[str, tuple[tuple[float, ...], float]] = {
    # family: (learning rates, epochs)
    "bert": ((3e-4, 1e-4, 5e-5, 3e-5), 4.0),
    "gpt2": ((6.25e-5,), 3.0),
}


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
    """Everything that decides a rung's training, resolved. `tokens` is `steps * batch_tokens`.

    `mup_multiple` is the width as a multiple of the base width of `mup`; 1 where the rule is another.
    """

    optimizer: str
    momentum: float
    learning_rate: float
    batch_tokens: int
    warmup_tokens: int
    weight_decay: float
    beta1: float
    beta2: float
    schedule: str
    decay_fraction: float
    clip: float
    dropout: float
    label_smoothing: float
    mup_multiple: float
    steps: int
    tokens: int


@dataclass(frozen=True, kw_only=True)
class FinetuneDefaults:
    """What fine-tuning uses where the recipe is silent; of several learning rates the best on validation."""

    epochs: float
    learning_rates: tuple[float, ...]
    weight_decay: float
    beta1: float
    beta2: float


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


def resolve_rule(
    training: Training, largest: int, ladder_cost: float, sweep_cost: float | None
) -> tuple[str, bool]:
    """The rule that chooses a ladder's rates, and whether a sweep corrects them.

    `largest`: its largest rung's non-embedding parameters. The costs, in one unit, are those of training the
    ladder and of its sweep; `sweep_cost` is None where nothing can be swept. `auto` sweeps
    where that costs at most `SWEEP_SHARE` of the ladder.
    """
    by_size = "olmo-ladder" if largest >= OLMO_FROM else "small-ladder"
    if training.rule == "tune":
        carrier = training.tune.carried_by
        return (by_size if carrier == "auto" else carrier), True
    if training.rule != "auto":
        return training.rule, False
    return by_size, sweep_cost is not None and sweep_cost <= SWEEP_SHARE * ladder_cost


def token_counts(budget: Budget, non_embedding: int, flops_per_token: float | None) -> tuple[float, ...]:
    """The tokens at which a rung is annealed, rising; FLOPs budgets need training's `flops_per_token`."""
    if budget.tokens is not None:
        return budget.tokens if isinstance(budget.tokens, tuple) else (budget.tokens,)
    if budget.tokens_per_param is not None:
        return (budget.tokens_per_param * non_embedding,)
    assert flops_per_token is not None, "the plan checked that the vocabulary is known"
    flops = budget.isoflop or (budget.flops,)
    return tuple(total / flops_per_token for total in flops if total is not None)


def choose_hyper(
    training: Training,
    non_embedding: int,
    tokens: float,
    context: int,
    *,
    rule: str,
    width: int,
    base_width: int | None,
    first_tokens: float | None = None,
) -> Hyper:
    """The rule's choices with the recipe's in their place, in whole windows and whole steps.

    `tokens`: the wanted budget; whole steps that cover it are trained. `context`: tokens a window. `rule`: a
    resolved one. `first_tokens`: the shortest budget of a run that is annealed at several: whatever a rule
    takes from tokens, such as the warm-up, comes from it, so that all of them share one stable part.
    """
    choice, multiple = _choice(training, rule, non_embedding, first_tokens or tokens, width, base_width)
    given = {name: value for name in asdict(choice) if (value := getattr(training, name)) is not None}
    chosen = replace(choice, **given)
    batch_tokens = max(1, round(chosen.batch_tokens / context)) * context
    steps = math.ceil(tokens / batch_tokens)
    return Hyper(
        optimizer=training.optimizer,
        momentum=training.momentum,
        learning_rate=chosen.learning_rate,
        batch_tokens=batch_tokens,
        warmup_tokens=round(chosen.warmup_tokens),
        weight_decay=chosen.weight_decay,
        beta1=BETA1,
        beta2=chosen.beta2,
        schedule=training.schedule,
        decay_fraction=chosen.decay_fraction,
        clip=training.clip,
        dropout=training.dropout,
        label_smoothing=training.label_smoothing,
        mup_multiple=multiple,
        steps=steps,
        tokens=steps * batch_tokens,
    )


def _choice(
    training: Training, rule: str, n: int, tokens: float, width: int, base_width: int | None
) -> tuple[Choice, float]:
    """A rule's choice, and the width as a multiple of mup's base.

    `mup` (Yang 2022) keeps the choice of a rung as deep and as wide as the base at every width: what falls
    with width is in the parameter groups. Depth is not its matter: it has the rate of its size.
    """
    if rule != "mup":
        return RULES[rule](n, tokens), 1.0
    assert base_width is not None, "the plan knows the width that mup begins at"
    size = round(n * _block_size(base_width) / _block_size(width))
    return RULES["olmo-ladder" if size >= OLMO_FROM else "small-ladder"](size, tokens), width / base_width


def _block_size(width: int) -> int:
    return 12 * width * width + 13 * width  # parameters of a layer, see pipelines.ladder


def finetune_defaults(family: str, published: bool, pretraining_rate: float | None) -> FinetuneDefaults:
    """What fine-tuning uses where the recipe is silent.

    `published`: somebody else's model, which gets its family's published grid. `pretraining_rate`: the peak
    rate of a model trained here; None where its run does not say, and the published grid is tried.
    """
    rates, epochs = PUBLISHED[family]
    if not published and pretraining_rate is not None:
        rates, epochs = (pretraining_rate * FINETUNE_RATE_SHARE,), FINETUNE_EPOCHS
    return FinetuneDefaults(
        epochs=epochs,
        learning_rates=rates,
        weight_decay=FINETUNE_WEIGHT_DECAY,
        beta1=BETA1,
        beta2=FINETUNE_BETA2,
    )
