"""What the sections of a recipe owe each other: checks that no section can make alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eval.tasks import TASKS, Generation, Memorisation, Span, Task, Toxicity, make_task
from eval.tasks.settings import LEARNT
from pipelines.recipe_fields import mistake

if TYPE_CHECKING:
    from eval.tasks.settings import TaskSettings
    from pipelines.recipe import Recipe
    from pipelines.recipe_training import Finetune

OBJECTIVES = {"gpt2": "causal-lm", "bert": "masked-lm"}
TOKENIZERS = {"gpt2": "bpe", "bert": "wordpiece"}
# Measures of pretraining, by objective; the first is the one measured when a recipe names none.
LANGUAGE_TASKS = {"causal-lm": ("perplexity",), "masked-lm": ("masked-lm", "pseudo-perplexity")}
# Tasks whose rows are made from a corpus of Python source.
CODE_TASKS = ("code-to-docstring", "code-completion", "module-classification")
# The fewest tokens that a row can be read in: what frames it, and one of its own.
SHORTEST_ROW = {"gpt2": 2, "bert": 3}
STAGES = ("corpus", "tokens")  # names of stages that prepare, which tasks' rows cannot have
SHORTEST_SPAN_ROW = 16  # a question, and some of the context
# What training can be watched by beside its loss, by kind of task.
WATCHED = {"classification": "accuracy", "tagging": "accuracy", "span": "accuracy", "multi-label": "f1_micro"}


def check_recipe(recipe: Recipe) -> None:
    """Raise a `mistake`, placed below the recipe, for the first thing that does not fit together."""
    _check_model(recipe)
    _check_sections(recipe)
    _check_splits(recipe)
    _check_own_tasks(recipe)
    _check_finetune(recipe)
    _check_measured(recipe)
    _check_lengths(recipe)
    _check_budget(recipe)
    _check_sharding(recipe)
    rungs = len(recipe.ladder.rungs.wanted or recipe.ladder.rungs.pretrained or ())
    if rungs and (hidden := too_many_hidden(recipe, rungs)):
        raise mistake(hidden, "report", "holdout")


def too_many_hidden(recipe: Recipe, rungs: int) -> str | None:
    """What is wrong with `report.holdout`, if anything; how many rungs `init_from` has, a plan finds out."""
    hidden = recipe.report.holdout
    return f"hides {hidden} of {rungs} rungs; keep some to fit" if hidden >= rungs else None


def all_tasks(recipe: Recipe) -> dict[str, Task]:
    """The built-in tasks and the recipe's own, by name."""
    return TASKS | {name: make_task(name, settings) for name, settings in recipe.tasks.items()}


def measured_tasks(recipe: Recipe) -> tuple[str, ...]:
    """What is measured: `eval.tasks`, else pretraining's own measure and every task that is fine-tuned."""
    if recipe.eval.tasks is not None:
        return recipe.eval.tasks
    language = LANGUAGE_TASKS[recipe.learns][:1] if recipe.corpus is not None else ()
    return (*language, *(finetune.task for finetune in recipe.finetune))


def asked_as_is(recipe: Recipe) -> tuple[str, ...]:
    """The recipe's own tasks that are measured on models as they were pretrained, or fetched."""
    own = recipe.tasks
    return tuple(name for name in measured_tasks(recipe) if name in own and own[name].kind not in LEARNT)


def _check_model(recipe: Recipe) -> None:
    """The objective and the tokenizer must be of the family's kind."""
    if recipe.learns != OBJECTIVES[recipe.family]:
        other = {objective: family for family, objective in OBJECTIVES.items()}[recipe.learns]
        text = f"{recipe.family} does not learn {recipe.learns}; use {OBJECTIVES[recipe.family]}, or {other}"
        raise mistake(text, "objective")
    trained = recipe.tokenizer.train if recipe.tokenizer else None
    if trained is not None and trained != TOKENIZERS[recipe.family]:
        text = f"{trained} is not for {recipe.family}; write {TOKENIZERS[recipe.family]}"
        raise mistake(text, "tokenizer", "train")
    if recipe.training.whole_words and recipe.learns != "masked-lm":
        raise mistake("only masked-lm masks words; remove it", "training", "whole_words")


def _check_sections(recipe: Recipe) -> None:
    """A ladder from scratch needs a corpus, a tokenizer and a budget; models that exist bring their own."""
    if recipe.ladder.rungs.from_scratch:
        for name in ("corpus", "tokenizer", "budget"):
            if getattr(recipe, name) is None:
                raise mistake("missing; rungs from scratch need it (`stepladder init` shows one)", name)
        return
    if recipe.tokenizer is not None:
        raise mistake("existing models bring their tokenizer; remove this", "tokenizer")
    if recipe.budget is not None and recipe.corpus is None:
        raise mistake("missing; training on needs text (or remove budget)", "corpus")
    if recipe.training.rule == "tune":
        text = "sweeps rungs from scratch; for existing models give learning_rate, or another rule"
        raise mistake(text, "training", "rule")
    if recipe.training.rule == "mup":
        raise mistake("is for rungs from scratch; use another rule", "training", "rule")
    if recipe.budget is None and not recipe.finetune and not measured_tasks(recipe):
        raise mistake("nothing to do; add finetune, a budget, or a corpus to measure on", "ladder", "rungs")


def _check_splits(recipe: Recipe) -> None:
    """Of a hub corpus's own splits those must be named that something is done with."""
    splits = recipe.corpus and recipe.corpus.splits
    if splits is None:
        return
    for name in ("train", "validation") if recipe.pretrains else ():
        if getattr(splits, name) is None:
            raise mistake(f"names no {name} split, which pretraining needs; add it", "corpus", "splits")
    if getattr(splits, recipe.eval.split) is None:
        text = f"names no {recipe.eval.split} split, which eval.split asks for; add it"
        raise mistake(text, "corpus", "splits")


def _check_own_tasks(recipe: Recipe) -> None:
    for name, task in recipe.tasks.items():
        if name in TASKS:
            raise mistake("is the name of a built-in task; choose another", "tasks", name)
        if name in STAGES:
            raise mistake("is the name of a part of every run; choose another", "tasks", name)
        if task.kind == "prompted-classification" and not task.classes:
            raise mistake("names neither labels nor verbalizers; name the labels", "tasks", name)


def _check_finetune(recipe: Recipe) -> None:
    """Every task must be known, of a kind that the family can learn, and listed once."""
    tasks, seen = all_tasks(recipe), []
    known = [name for name, task in tasks.items() if task.kind in LEARNT]
    for index, finetune in enumerate(recipe.finetune):
        at = ("finetune", index)
        if finetune.task in recipe.tasks and finetune.task not in known:
            kind = tasks[finetune.task].kind
            text = f"{kind} is asked of models as they are; name it in eval.tasks instead"
            raise mistake(text, *at, "task")
        if finetune.task not in known:
            text = f"{finetune.task!r} is no task to fine-tune on; choose from {', '.join(known)}"
            raise mistake(text, *at, "task")
        if finetune.task in seen:
            raise mistake(f"{finetune.task} is listed twice; remove one", *at, "task")
        seen.append(finetune.task)
        task = tasks[finetune.task]
        if isinstance(task, Generation) and recipe.family == "bert":
            raise mistake(f"{task.name} asks for text, which bert does not write; use gpt2", *at, "task")
        if task.name in CODE_TASKS and (recipe.corpus is None or recipe.corpus.source is None):
            text = f"{task.name} is made from Python source: write corpus: {{source: python-stdlib}}"
            raise mistake(text, *at, "task")
        own = recipe.tasks.get(finetune.task)
        if own is not None and not own.has_train:
            raise mistake(f"{task.name} names no train rows to learn from; add them to tasks", *at, "task")
        if own is not None and own.shots:
            text = "solved examples are for models that did not learn the task; remove this"
            raise mistake(text, "tasks", task.name, "shots")
        stopping = finetune.early_stopping
        if stopping and stopping.metric not in ("loss", WATCHED.get(task.kind)):
            there = " or ".join(["loss", *([WATCHED[task.kind]] if task.kind in WATCHED else [])])
            text = f"{task.kind} has no {stopping.metric}; write {there}"
            raise mistake(text, *at, "early_stopping", "metric")
        if finetune.class_weights is not None and task.kind != "classification":
            raise mistake(f"{task.kind} has no classes to weigh; remove it", *at, "class_weights")
        _check_weights(finetune, own, at)
        if finetune.label_smoothing and task.kind not in ("classification", "generation"):
            raise mistake(f"{task.kind} has no labels to smooth; remove it", *at, "label_smoothing")


def _check_weights(finetune: Finetune, own: TaskSettings | None, at: tuple[str, int]) -> None:
    """Weighed labels must be there; where the recipe does not name the labels, the rows tell."""
    if own is None or own.labels is None or not isinstance(finetune.class_weights, dict):
        return
    if unknown := sorted(set(finetune.class_weights) - set(own.labels)):
        text = f"{finetune.task} has no label {unknown[0]!r}; there are {', '.join(own.labels)}"
        raise mistake(text, *at, "class_weights")


def _check_measured(recipe: Recipe) -> None:
    """Every task measured must be known, and one that the models can be asked: as they are, or fine-tuned."""
    tasks, tuned = all_tasks(recipe), [finetune.task for finetune in recipe.finetune]
    for index, name in enumerate(recipe.eval.tasks or ()):
        at = ("eval", "tasks", index)
        if name not in tasks:
            raise mistake(f"{name!r} is no task; choose from {', '.join(tasks)}", *at)
        task = tasks[name]
        if task.kind in LEARNT:
            if name not in tuned:
                text = f"{name} is not fine-tuned; add {{task: {name}}} to finetune, or remove it here"
                raise mistake(text, *at)
        elif name in recipe.tasks:
            if task.objective not in (recipe.learns, "any-lm"):
                text = f"{name} is not for {recipe.learns}, but for {task.objective}; remove it here"
                raise mistake(text, *at)
            _check_split(recipe, name)
        elif not any(name in known for known in LANGUAGE_TASKS.values()):
            text = f"{name} has no rows in a recipe; add a task of kind {task.kind} to tasks, and name that"
            raise mistake(text, *at)
        elif name not in LANGUAGE_TASKS[recipe.learns]:
            text = f"{name} is not for {recipe.learns}; use {' or '.join(LANGUAGE_TASKS[recipe.learns])}"
            raise mistake(text, *at)
        elif recipe.corpus is None:
            raise mistake(f"{name} needs text; add a corpus, or remove it here", *at)


def _check_split(recipe: Recipe, name: str) -> None:
    """Rows that are not learnt are not cut: the split that is measured must be there."""
    own, split = recipe.tasks[name], recipe.eval.split
    splits = own.files or (own.hub and own.hub.splits)
    if getattr(splits, split) is None:
        raise mistake(f"names no {split} rows, which eval.split asks for; add them", "tasks", name)


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
    tasks = all_tasks(recipe)
    for index, finetune in enumerate(recipe.finetune):
        at = ("finetune", index, "max_tokens")
        if finetune.max_tokens is not None and finetune.max_tokens > context:
            text = (
                f"{finetune.max_tokens} is more than the models' context, {context}; lower it or leave it out"
            )
            raise mistake(text, *at)
        least = _shortest_row(tasks[finetune.task], recipe.family)
        for room, place in ((finetune.max_tokens or context, at), (recipe.eval.context, ("eval", "context"))):
            if room is not None and room < least:
                text = f"rows of {room} tokens are too short for {finetune.task}; it needs {least}"
                raise mistake(text, *place)

    for name in asked_as_is(recipe):
        room, least = recipe.eval.context or context, _shortest_row(tasks[name], recipe.family)
        if room < least:
            text = f"needs {least} tokens a row, and models are measured on {room}; shorten what it asks"
            raise mistake(text, "tasks", name)


def _shortest_row(task: Task, family: str) -> int:
    """The fewest tokens that a row of the task can have; how many a cue has only its tokenizer knows."""
    if isinstance(task, Generation):
        # half for what is read; or the begin token, one of the source, and a token for each word of the cue
        words = max(len(task.cue.split()), bool(task.cue))
        return task.max_new_tokens + max(task.max_new_tokens, 2 + words)
    if isinstance(task, Memorisation):
        return 1 + task.prefix + task.suffix
    if isinstance(task, Toxicity):
        return SHORTEST_ROW[family] + task.max_new_tokens
    return SHORTEST_SPAN_ROW if isinstance(task, Span) else SHORTEST_ROW[family]


def _check_budget(recipe: Recipe) -> None:
    """Several lengths need a stable part to branch from, and cannot each be stopped early."""
    budget, training = recipe.budget, recipe.training
    if budget is None:
        return
    if budget.several and training.schedule != "wsd":
        text = f"{training.schedule} cannot be annealed at several lengths; use schedule: wsd"
        raise mistake(text, "training", "schedule")
    if budget.several and training.early_stopping:
        raise mistake("one length only can be stopped early; remove it", "training", "early_stopping")
    if budget.several and training.deepspeed is not None:
        text = (
            "DeepSpeed keeps no state that another length could go on from; remove it, or the lengths but one"
        )
        raise mistake(text, "training", "deepspeed")


def _check_sharding(recipe: Recipe) -> None:
    """Adafactor's factored moments do not go with distributed tensors: torch fails in the first step.

    Nor with ZeRO's, which are flat; and under ZeRO fine-tuning keeps no best weights either.
    """
    zero = recipe.training.deepspeed is not None
    if recipe.training.sharding == "none" and not zero:
        return
    setting = "remove training.deepspeed" if zero else "write training.sharding: none"
    text = f"adafactor does not work on sharded weights; choose another, or {setting}"
    if recipe.training.optimizer == "adafactor":
        raise mistake(text, "training", "optimizer")
    for index, finetune in enumerate(recipe.finetune):
        if finetune.optimizer == "adafactor":
            raise mistake(text, "finetune", index, "optimizer")
        if zero and finetune.early_stopping:
            text = "DeepSpeed: it keeps no best weights; remove one of them"
            raise mistake(text, "finetune", index, "early_stopping")
