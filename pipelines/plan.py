"""From a recipe to its plan: every stage with its settings, inputs and content key; nothing runs, no torch.

A stage's key is the hash of what decides its content: its settings, its inputs' keys, its kind's version.
Whatever only changes speed, logging or the report is in no stage's settings, so that changing it makes
nothing again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.tasks import Toxicity, make_task
from eval.tasks.data import ROW_FIELDS, source_fingerprint
from eval.tasks.toxicity import check_classifier
from pipelines.model_files import fingerprint_weights
from pipelines.plan_pretraining import Pretraining, plan_pretraining
from pipelines.plan_tasks import plan_evaluation, plan_finetuning
from pipelines.planned import Plan, Stage, make_stage
from pipelines.recipe import Recipe
from pipelines.recipe_checks import LANGUAGE_TASKS, asked_as_is, measured_tasks
from pipelines.rungs import LadderRung, check_numbering, resolve_rungs
from pipelines.tokenizer_files import FoundTokenizer, find_tokenizer

if TYPE_CHECKING:
    from pipelines.recipe_file import LoadedRecipe

__all__ = ["Plan", "Stage", "make_plan"]


def make_plan(loaded: LoadedRecipe) -> Plan:
    """All stages of a recipe, in an order they can be run in.

    Of data and of models that exist only fingerprints and configurations are read; raises `InputError` where
    one is missing, empty or of the wrong kind.
    """
    recipe = loaded.recipe
    tokenizer = _tokenizer(recipe, loaded.base)
    rungs = resolve_rungs(recipe, loaded.base, tokenizer.known.vocab_size if tokenizer else None)
    prepared = {stage.name: stage for stage in _preparation(recipe, rungs, tokenizer, loaded.base)}
    pretraining = plan_pretraining(recipe, rungs, prepared.get("tokens"))
    stages = [*prepared.values(), *pretraining.shared]
    for rung in rungs:
        stages += _rung(recipe, rung, pretraining, prepared)
    # what may be refused only once it is loaded comes before hours of preparation
    stages.sort(key=lambda stage: stage.kind != "fetch")
    return Plan(recipe=recipe.name, base=loaded.base, stages=tuple(stages))


def _tokenizer(recipe: Recipe, base: Path) -> FoundTokenizer | None:
    """The one that the recipe names; None where it is trained, or models bring their own."""
    if recipe.tokenizer is None or recipe.tokenizer.pretrained is None:
        return None
    return find_tokenizer(recipe.tokenizer.pretrained, base, recipe.learns)


def _preparation(
    recipe: Recipe, rungs: Sequence[LadderRung], tokenizer: FoundTokenizer | None, base: Path
) -> Iterator[Stage]:
    """The rows of the recipe's own tasks, the corpus, its tokens, and the rows of tasks made from it."""
    tuned = [finetune.task for finetune in recipe.finetune]
    needed = [name for name in (*tuned, *asked_as_is(recipe)) if name in recipe.tasks]
    own = {name: _own_rows(recipe, name, base) for name in needed}
    yield from own.values()
    if recipe.corpus is None:
        return
    from pipelines.corpus import source_fingerprint as corpus_fingerprint
    from pipelines.corpus_files import compile_start

    settings = recipe.corpus.model_dump(mode="json")
    compile_start(recipe.corpus.document_start)
    settings |= {"fingerprint": corpus_fingerprint(settings, base)}
    # what asks for the training text itself is no evaluation set to keep out of it
    kept_out = [stage for name, stage in own.items() if recipe.tasks[name].kind != "memorisation"]
    against = kept_out if recipe.corpus.decontaminate else []
    corpus = make_stage("prepare-corpus", "corpus", settings, *against)
    yield corpus
    if recipe.pretrains:
        yield make_stage("prepare-tokens", "tokens", _tokenizer_settings(recipe, rungs, tokenizer), corpus)
    for name in tuned:
        if name not in recipe.tasks:
            yield make_stage("prepare-rows", name, {"task": name, "weighed": _weighed(recipe, name)}, corpus)


def _own_rows(recipe: Recipe, name: str, base: Path) -> Stage:
    task = recipe.tasks[name]
    source = task.model_dump(mode="json", include=set(ROW_FIELDS))
    settings = {
        "task": name,
        "source": source,
        "fingerprint": source_fingerprint(f"tasks.{name}", task, base),
        "weighed": _weighed(recipe, name),
    }
    made = make_task(name, task, base)
    if isinstance(made, Toxicity):
        where = f"tasks.{name}.classifier"
        check_classifier(made, where)
        settings["judge"] = fingerprint_weights(Path(made.classifier), where)
    return make_stage("prepare-rows", name, settings)


def _weighed(recipe: Recipe, task: str) -> list[str]:
    """The labels that fine-tuning on a task weighs by name: its rows are looked through for them."""
    given = [finetune.class_weights for finetune in recipe.finetune if finetune.task == task]
    return sorted(label for weights in given if isinstance(weights, dict) for label in weights)


def _tokenizer_settings(
    recipe: Recipe, rungs: Sequence[LadderRung], tokenizer: FoundTokenizer | None
) -> dict[str, Any]:
    """The recipe's, with the context; one that exists is told from another by its content.

    Models that exist bring theirs, which must number tokens alike: the smallest one's makes the streams.
    """
    shared = {"context": recipe.context, "family": recipe.family}
    if recipe.tokenizer is None:
        check_numbering(rungs)
        existing = next(iter(rungs[0].existing.values()))
        source = {"pretrained": existing.model, "revision": existing.revision}
        return shared | source | {"fingerprint": existing.fingerprint}
    settings = recipe.tokenizer.model_dump(mode="json") | shared
    if tokenizer is not None:
        settings |= {"pretrained": tokenizer.model, "fingerprint": tokenizer.fingerprint}
    return settings


def _rung(
    recipe: Recipe, rung: LadderRung, pretraining: Pretraining, prepared: dict[str, Stage]
) -> Iterator[Stage]:
    """What a rung goes through: its models, and what is fine-tuned from them and measured."""
    measured = measured_tasks(recipe)
    models = pretraining.models[rung.name]
    for model in models:
        yield model
        for task in measured:
            if task in LANGUAGE_TASKS[recipe.learns]:
                yield plan_evaluation(recipe, task, model, prepared["corpus"], f"{model.name}-{task}")
        for task in asked_as_is(recipe):
            yield plan_evaluation(recipe, task, model, prepared[task], f"{model.name}-{task}")
    for finetune in recipe.finetune:
        for seed, model in pretraining.last(rung.name, finetune.seeds):
            rows = prepared[finetune.task]
            tuned = plan_finetuning(recipe, finetune, seed, model, rows, rung)
            yield tuned
            if finetune.task in measured:
                yield plan_evaluation(recipe, finetune.task, tuned, rows, tuned.name)
