"""What the sections of a recipe owe each other: checks that no section can make alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eval.tasks import TASKS, Generation
from pipelines.ladder import count_non_embedding
from pipelines.recipe_fields import mistake

if TYPE_CHECKING:
    from pipelines.recipe import Recipe


def check_recipe(recipe: Recipe) -> None:
    """Raise a `mistake`, placed below the recipe, for the first thing that does not fit together."""
    _check_model(recipe)
    _check_lengths(recipe)
    _check_budget(recipe)
    _check_tasks(recipe)
    rungs = len(recipe.ladder.rungs.wanted)
    if recipe.report.holdout >= rungs:
        raise mistake(
            f"hides {recipe.report.holdout} of {rungs} rungs; keep some to fit", "report", "holdout"
        )


def _check_model(recipe: Recipe) -> None:
    if (recipe.family, recipe.objective) != ("gpt2", "causal-lm"):
        text = f"{recipe.family} with {recipe.objective} is not built yet; use gpt2 with causal-lm"
        raise mistake(text, "family" if recipe.family != "gpt2" else "objective")


def _check_lengths(recipe: Recipe) -> None:
    """Everything counted in tokens must fit the context."""
    context, batch = recipe.context, recipe.training.batch_tokens
    if batch is not None and batch % context:
        nearest = max(1, round(batch / context)) * context
        text = f"{batch} is not a multiple of the context, {context}; write {nearest}"
        raise mistake(text, "training", "batch_tokens")
    for name in ("context", "stride"):
        tokens = getattr(recipe.eval, name)
        if tokens is not None and tokens > context:
            raise mistake(f"{tokens} is more than the models' context, {context}; lower it", "eval", name)
    window = recipe.eval.context or context
    if recipe.eval.stride is not None and recipe.eval.stride > window:
        raise mistake(f"{recipe.eval.stride} is more than eval.context, {window}; lower it", "eval", "stride")
    for index, finetune in enumerate(recipe.finetune):
        task, room = TASKS.get(finetune.task), finetune.max_tokens or window
        if isinstance(task, Generation) and room < 2 * task.max_new_tokens:
            text = f"rows of {room} tokens are too short for {task.name}; it needs {2 * task.max_new_tokens}"
            raise mistake(text, "finetune", index, "max_tokens")
        if finetune.max_tokens is not None and finetune.max_tokens > context:
            text = (
                f"{finetune.max_tokens} is more than the models' context, {context}; lower it or leave it out"
            )
            raise mistake(text, "finetune", index, "max_tokens")


def _check_budget(recipe: Recipe) -> None:
    """FLOPs need a known vocabulary; a warm-up must end before the shortest rung does."""
    budget, warmup = recipe.budget, recipe.training.warmup_tokens
    if budget.flops is not None and recipe.tokenizer.vocab_size is None:
        text = "needs the vocabulary's size, which a pretrained tokenizer tells only later; use tokens"
        raise mistake(text, "budget", "flops")
    smallest = count_non_embedding(recipe.ladder.named_rungs()[0].shape)
    shortest = budget.tokens or (budget.tokens_per_param or 0) * smallest
    if warmup is not None and shortest and warmup >= shortest:
        text = f"{warmup} is not less than the {shortest:.0f} tokens of a rung; lower it"
        raise mistake(text, "training", "warmup_tokens")


def _check_tasks(recipe: Recipe) -> None:
    """Every task measured must be known, downstream ones also fine-tuned, and none fine-tuned twice."""
    tuned: list[str] = []
    for index, finetune in enumerate(recipe.finetune):
        if finetune.task in tuned:
            raise mistake(f"{finetune.task} is listed twice; remove one", "finetune", index, "task")
        tuned.append(finetune.task)
    for index, task in enumerate(recipe.eval.tasks):
        if task not in TASKS:
            raise mistake(f"{task!r} is no task; choose from {', '.join(TASKS)}", "eval", "tasks", index)
        listed = "tasks" in recipe.eval.model_fields_set
        if listed and TASKS[task].objective != "causal-lm" and task not in tuned:
            text = f"{task} is not fine-tuned; add {{task: {task}}} to finetune, or remove it here"
            raise mistake(text, "eval", "tasks", index)
