"""The part of a plan that makes the models: fetched, swept for their learning rate, pretrained.

A rung with several token counts is a chain of stages. Each goes on from the stable state of the one before it
(taken before its learning rate decayed) and anneals its own copy, so that one run gives several final losses,
and a count added later finds the shorter ones finished.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from eval.files import InputError
from pipelines.budget import choose_hyper, resolve_rule, token_counts
from pipelines.flops import training_flops_per_token
from pipelines.ladder import human_count
from pipelines.planned import Stage, make_stage
from pipelines.recipe import Recipe
from pipelines.recipe_fields import LARGEST
from pipelines.recipe_training import Training
from pipelines.rungs import Existing, LadderRung

SWEEP_VALIDATION_TOKENS = 131_072  # of the validation stream, that a sweep's losses are compared on


@dataclass(frozen=True)
class Pretraining:
    """`shared` stages come before all rungs; `models`: by rung, each stage that leaves a pretrained model."""

    shared: tuple[Stage, ...]
    models: dict[str, tuple[Stage, ...]]

    def last(self, rung: str, seeds: int) -> list[tuple[int, Stage]]:
        """(seed, model) of a rung's first `seeds`, each from the model trained longest.

        Models that were only fetched are all alike: each seed begins from the same.
        """
        newest = {model.settings["seed"]: model for model in self.models[rung]}
        if all(model.kind == "fetch" for model in newest.values()) and len(newest) == 1:
            (model,) = newest.values()
            return [(seed, model) for seed in range(seeds)]
        return [(seed, model) for seed, model in newest.items() if seed < seeds]


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """What the pretraining stages of a recipe share: the resolved rule and where mup's widths begin."""

    recipe: Recipe
    rule: str
    base_width: int
    tokens: Stage | None
    tune: Stage | None = None


def plan_pretraining(recipe: Recipe, rungs: Sequence[LadderRung], tokens: Stage | None) -> Pretraining:
    """The stages that leave each rung's models; `tokens` prepares the token streams, if there are any."""
    if not recipe.pretrains:
        return Pretraining((), {rung.name: tuple(_fetched(recipe, rung).values()) for rung in rungs})
    width = recipe.training.mup_base_width or min(rung.shape.n_embd for rung in rungs)
    rule, sweeps = _rule(recipe, rungs)
    wanted = _Wanted(recipe=recipe, rule=rule, base_width=width, tokens=tokens)
    shared: tuple[Stage, ...] = ()
    if sweeps:
        swept = [stage for rung in rungs[: recipe.training.tune.rungs] for stage in _sweep(wanted, rung)]
        sizes = {rung.name: _size(rung) for rung in rungs}
        tune = make_stage("tune", "ladder", {"rule": rule, "sizes": sizes}, *swept)
        shared = (*swept, tune)
        wanted = _Wanted(recipe=recipe, rule=rule, base_width=width, tokens=tokens, tune=tune)
    return Pretraining(shared, {rung.name: tuple(_models(wanted, rung)) for rung in rungs})


def _rule(recipe: Recipe, rungs: Sequence[LadderRung]) -> tuple[str, bool]:
    """The rule that chooses, and whether a sweep corrects its rates."""
    training = recipe.training
    longest = [_counts(recipe, rung)[-1] for rung in rungs]
    costs = [tokens * _size(rung) for tokens, rung in zip(longest, rungs, strict=True)]
    whole = sum(cost * len(rung.seeds) for cost, rung in zip(costs, rungs, strict=True))
    sweep = sum(costs[: training.tune.rungs]) * len(training.tune.factors)
    may_sweep = recipe.ladder.rungs.from_scratch and training.learning_rate is None
    return resolve_rule(training, max(map(_size, rungs)), whole, sweep if may_sweep else None)


def _size(rung: LadderRung) -> int:
    size = rung.params["non_embedding"]
    assert size is not None
    return size


def _flops(recipe: Recipe, rung: LadderRung) -> int | None:
    if rung.vocab_size is None:
        return None
    return training_flops_per_token(rung.shape, rung.vocab_size, rung.context, recipe.family)


def _models(wanted: _Wanted, rung: LadderRung) -> Iterator[Stage]:
    """The stages of every seed that leave a model, each after the one it goes on from."""
    fetched = _fetched(wanted.recipe, rung)
    yield from fetched.values()
    for seed in rung.seeds:
        # its weights are what all of a chain build on, its tokens what all of them count on from
        begun = [fetched[seed]] if seed in fetched else list(fetched.values())[:1]
        before: list[Stage] = []
        counts = _counts(wanted.recipe, rung)
        for place, count in enumerate(counts):
            name = f"{rung.name}-s{seed}" + (f"-{_count_name(count, counts)}" if place else "")
            stage = _pretrain(wanted, rung, seed, "pretrain", name, counts, place, 1.0, [*before, *begun])
            before = [stage]
            yield stage


def _sweep(wanted: _Wanted, rung: LadderRung) -> Iterator[Stage]:
    """The rung's first budget at every factor of the rule's learning rate."""
    counts = _counts(wanted.recipe, rung)
    for factor in wanted.recipe.training.tune.factors:
        yield _pretrain(wanted, rung, 0, "sweep", f"{rung.name}-x{factor:g}", counts, 0, factor, [])


def _counts(recipe: Recipe, rung: LadderRung) -> tuple[float, ...]:
    budget, flops = recipe.budget, _flops(recipe, rung)
    assert budget is not None
    if flops is None and (budget.flops or budget.isoflop):
        raise InputError(
            f"budget.{'flops' if budget.flops else 'isoflop'}: needs the vocabulary's size, which the "
            "tokenizer's files do not tell; use tokens"
        )
    return token_counts(budget, _size(rung), flops)


def _count_name(count: float, counts: Sequence[float]) -> str:
    """A count in a few characters, in full where two of a chain read alike."""
    names = [human_count(other) for other in counts]
    short = human_count(count)
    return short if names.count(short) == 1 else f"{count:.0f}"


def _pretrain(
    wanted: _Wanted,
    rung: LadderRung,
    seed: int,
    work: str,
    name: str,
    counts: Sequence[float],
    place: int,
    factor: float,
    before: Sequence[Stage],
) -> Stage:
    """One training to `counts[place]` tokens, which goes on from `before`: a shorter one, a fetched model."""
    recipe, training = wanted.recipe, wanted.recipe.training
    _check_lengths(training, rung, counts)
    hyper = asdict(
        choose_hyper(
            training,
            _size(rung),
            counts[place],
            recipe.context,
            rule=wanted.rule,
            width=rung.shape.n_embd,
            base_width=wanted.base_width,
            first_tokens=counts[0],
        )
    )
    hyper["learning_rate"] *= factor
    flops = _flops(recipe, rung)
    settings = {
        "family": recipe.family,
        "objective": recipe.learns,
        "rung": rung.name,
        "shape": asdict(rung.shape),
        "vocab_size": rung.vocab_size,
        "context": recipe.context,
        "params": rung.params,
        "rule": wanted.rule,
        "hyper": hyper,
        "seed": seed,
        "precision": training.precision,
        "leaves_stable": training.deepspeed is None,  # what a longer training would go on from
        "whole_words": training.whole_words,
        "early_stopping": training.early_stopping and training.early_stopping.model_dump(mode="json"),
        "tokens": hyper["tokens"],
        "flops": None if flops is None else flops * hyper["tokens"],
        "flops_per_token": flops,
    }
    inputs = [*([wanted.tokens] if wanted.tokens is not None else []), *before]
    if wanted.tune is not None:
        inputs.append(wanted.tune)
        settings["tuned"] = True
    if work == "sweep":
        settings |= {"factor": factor, "validation_tokens": SWEEP_VALIDATION_TOKENS}
    return make_stage(work, name, settings, *inputs)


def _check_lengths(training: Training, rung: LadderRung, counts: Sequence[float]) -> None:
    """Raise InputError for a warm-up that outlasts the rung's shortest training, and for no sane length."""
    warmup = training.warmup_tokens
    if warmup is not None and warmup >= counts[0]:
        raise InputError(
            f"training.warmup_tokens: {warmup} is not less than the {counts[0]:,.0f} tokens of {rung.name}; "
            "lower it"
        )
    if counts[-1] > LARGEST:
        raise InputError(
            f"budget: gives {rung.name} {counts[-1]:.2g} tokens, more than {LARGEST:.0g}; lower it"
        )


def _fetched(recipe: Recipe, rung: LadderRung) -> dict[int, Stage]:
    """By seed, the stage that takes an existing model in; one where all seeds begin from the same."""
    return {seed: _fetch(recipe, rung, seed, existing) for seed, existing in rung.existing.items()}


def _fetch(recipe: Recipe, rung: LadderRung, seed: int, existing: Existing) -> Stage:
    settings: dict[str, Any] = {
        "family": recipe.family,
        "objective": recipe.learns,
        "rung": rung.name,
        "shape": asdict(rung.shape),
        "vocab_size": rung.vocab_size,
        "context": recipe.context,
        "params": rung.params,
        "seed": seed,
        "precision": recipe.training.precision,
        "model": existing.model,
        "revision": existing.revision,
        "fingerprint": existing.fingerprint,
        "before": existing.before,
    }
    name = f"{rung.name}-s{seed}" + ("-before" if recipe.pretrains else "")
    return make_stage("fetch", name, settings)
