"""The part of a plan that uses the models: fine-tuning on tasks, and measuring."""

from __future__ import annotations

from typing import Any

from pipelines.budget import finetune_defaults
from pipelines.planned import Stage, make_stage
from pipelines.recipe import Recipe
from pipelines.recipe_checks import all_tasks
from pipelines.recipe_training import Finetune
from pipelines.rungs import LadderRung

# What fine-tuning takes over from the model it begins with.
_CARRIED = ("family", "rung", "shape", "vocab_size", "context", "precision")
_GIVEN = (
    "batch_size max_rows optimizer schedule warmup_fraction dropout label_smoothing class_weights".split()
)

# Settings of `eval` that change nothing a stage leaves, by kind of task; `tasks` chooses the stages
# themselves.
_UNUSED_BY_ALL = {"tasks", "batch_tokens", "batch_size"}
_UNUSED_BY_KIND: dict[str, set[str]] = {"language-modelling": {"samples"}, "span": {"token_losses"}}
_UNUSED_BY_OTHERS = {"stride", "token_losses"}
# What a task's settings say of measuring only.
_MEASURING = {"metrics", "scoring"}


def plan_finetuning(
    recipe: Recipe, finetune: Finetune, seed: int, model: Stage, rows: Stage, rung: LadderRung
) -> Stage:
    """A model trained on a task's rows."""
    own = recipe.tasks.get(finetune.task)
    existing = rung.existing.get(seed) or next(iter(rung.existing.values()), None)
    published = model.kind == "fetch" and existing is not None and not existing.before
    hyper = model.settings.get("hyper", {})
    rate = hyper.get("learning_rate") or (existing.before.get("learning_rate") if existing else None)
    defaults = finetune_defaults(recipe.family, published, rate)
    settings: dict[str, Any] = {name: model.settings[name] for name in _CARRIED} | {
        "seed": seed,
        "task": finetune.task,
        "definition": own and own.model_dump(mode="json", exclude=_MEASURING),
        "objective": all_tasks(recipe)[finetune.task].objective,
        "max_tokens": finetune.max_tokens or recipe.context,
        "epochs": finetune.epochs or defaults.epochs,
        # None: a share of the rate that the model's own stage found by its sweep
        "learning_rates": _rates(finetune, defaults.learning_rates),
        "tuned": model.settings.get("tuned", False) and finetune.learning_rate is None,
        "weight_decay": hyper.get("weight_decay", defaults.weight_decay),
        "beta1": hyper.get("beta1", defaults.beta1),
        "beta2": hyper.get("beta2", defaults.beta2),
        "mup_multiple": hyper.get("mup_multiple", 1.0),
        "clip": recipe.training.clip,
        **{name: getattr(finetune, name) for name in _GIVEN},
        "early_stopping": finetune.early_stopping and finetune.early_stopping.model_dump(mode="json"),
        "lora": finetune.lora and finetune.lora.model_dump(mode="json"),
    }
    return make_stage("finetune", f"{rung.name}-s{seed}-{finetune.task}", settings, model, rows)


def _rates(finetune: Finetune, defaults: tuple[float, ...]) -> list[float]:
    if finetune.learning_rate is None:
        return list(defaults)
    return list(
        finetune.learning_rate if isinstance(finetune.learning_rate, tuple) else (finetune.learning_rate,)
    )


def plan_evaluation(recipe: Recipe, task: str, model: Stage, data: Stage, name: str) -> Stage:
    """A model measured on a task; a fine-tuned one on rows as long as those it was trained on."""
    kind = all_tasks(recipe)[task].kind
    unused = _UNUSED_BY_ALL | _UNUSED_BY_KIND.get(kind, _UNUSED_BY_OTHERS)
    own = recipe.tasks.get(task)
    settings = {"task": task, "definition": own and own.model_dump(mode="json")}
    settings |= recipe.eval.model_dump(mode="json", exclude=unused)
    if settings["context"] is None and model.kind == "finetune":
        settings["context"] = model.settings["max_tokens"]
    return make_stage("evaluate", name, settings, model, data)
