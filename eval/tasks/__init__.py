"""The tasks by name: one explicit table, light to import (no torch)."""

from __future__ import annotations

from eval.files import InputError
from eval.tasks.base import (
    BiasPairs,
    Classification,
    Cloze,
    Generation,
    LanguageModelling,
    Memorisation,
    MultiLabel,
    MultipleChoice,
    PromptedClassification,
    Regression,
    Span,
    Tagging,
    Task,
    Toxicity,
)
from eval.tasks.code_completion import CODE_COMPLETION
from eval.tasks.code_to_docstring import CODE_TO_DOCSTRING
from eval.tasks.module_classification import MODULE_CLASSIFICATION
from eval.tasks.own import make_task
from eval.tasks.perplexity import MASKED_LM, PERPLEXITY, PSEUDO_PERPLEXITY

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        PERPLEXITY,
        MASKED_LM,
        PSEUDO_PERPLEXITY,
        CODE_TO_DOCSTRING,
        CODE_COMPLETION,
        MODULE_CLASSIFICATION,
        Cloze(name="cloze"),
        BiasPairs(name="bias-pairs"),
        Memorisation(name="memorisation"),
    )
}

__all__ = [
    "TASKS",
    "BiasPairs",
    "Classification",
    "Cloze",
    "Generation",
    "LanguageModelling",
    "Memorisation",
    "MultiLabel",
    "MultipleChoice",
    "PromptedClassification",
    "Regression",
    "Span",
    "Tagging",
    "Task",
    "Toxicity",
    "get_task",
    "make_task",
]


def get_task(name: str) -> Task:
    """The built-in task of that name; `InputError` lists the names there are."""
    if name not in TASKS:
        raise InputError(f"task {name!r} is not known; the tasks are {', '.join(TASKS)}")
    return TASKS[name]
