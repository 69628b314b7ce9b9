"""What is found wrong before a model's weights are loaded."""

from __future__ import annotations

from pathlib import Path

from eval.files import InputError
from eval.labels import Labelled, SeenLabels, check_labels, see_labels
from eval.loading import check_family, find_context, output_names_of
from eval.metrics import metric_by_name, refuse_empty
from eval.running import chunks
from eval.settings import EvalSettings
from eval.tasks import (
    Classification,
    Generation,
    LanguageModelling,
    Memorisation,
    MultiLabel,
    MultipleChoice,
    PromptedClassification,
    Regression,
    Task,
    Toxicity,
)
from eval.tasks.encoding import has_pairs
from eval.tasks.rows import RowFile, has_rows, open_rows
from eval.tasks.shots import few_shots

# Kinds that never look at train rows: documents are compared when a corpus is prepared; in the others overlap
# is the point, or means nothing.
WITHOUT_TRAIN = ("language-modelling", "memorisation", "bias-pairs", "toxicity")


def check_before_loading(folder: Path, task: Task, data: Path, split: str, settings: EvalSettings) -> RowFile:
    """The rows to be measured, once all is found right that can be told without the model's weights.

    Raises `InputError` as the functions below do.
    """
    check_model(folder, task, settings)
    rows = check_rows(task, data, split, settings)
    check_outputs(folder, task, labels_there(task, rows, data))
    return rows


def labels_there(task: Task, rows: RowFile, data: Path) -> SeenLabels | None:
    """The labels of the rows and of the train rows; None for kinds of task that have none."""
    if not isinstance(task, Labelled):
        return None
    return see_labels(task, rows, open_rows(task, data, "train") if has_rows(data, "train") else ())


def check_outputs(folder: Path, task: Task, labels: SeenLabels | None) -> None:
    """Raise `InputError` for a model that was fine-tuned on other labels than there are."""
    if isinstance(task, Labelled) and labels is not None:
        check_labels(task, output_names_of(folder), labels, folder)


def check_model(folder: Path, task: Task, settings: EvalSettings) -> None:
    """Raise `InputError` for a kind of model that cannot do the task, and for lengths that do not fit it."""
    check_family(folder, task)
    context = find_context(folder, settings)
    if isinstance(task, LanguageModelling) and task.asks == "next" and (settings.stride or 0) > context:
        raise InputError(
            f"eval.stride: {settings.stride} is more than the context, {context} tokens; lower it"
        )
    begin = int(settings.begin)
    if isinstance(task, Memorisation) and task.prefix + task.suffix + begin > context:
        raise InputError(
            f"{task.name}: prefix {task.prefix} and suffix {task.suffix} are more than the context, "
            f"{context} tokens; lower one"
        )
    if isinstance(task, Toxicity | Generation) and task.max_new_tokens + begin >= context:
        raise InputError(
            f"{task.name}: max_new_tokens {task.max_new_tokens} leaves no room for a prompt in a context of "
            f"{context}; lower it"
        )


def check_rows(task: Task, data: Path, split: str, settings: EvalSettings) -> RowFile:
    """The rows to be measured. Raises `InputError` for rows that are missing or wrong, also the train rows
    that the task looks at, for references that no metric can read, and for too few solved examples.
    """
    rows = open_rows(task, data, split).choose(settings.max_items)
    if isinstance(task, Classification | MultiLabel | Regression):
        has_pairs(task, rows)  # refuses second texts of some rows only
    if isinstance(task, Generation):
        metrics = [metric_by_name(name, scoring=task.scoring) for name in task.metrics]
        for chunk in chunks(rows):
            refuse_empty(metrics, [task.references(row) for row in chunk], [row["id"] for row in chunk])
    train = None
    if task.kind not in WITHOUT_TRAIN and has_rows(data, "train"):
        train = open_rows(task, data, "train")
    if isinstance(task, Generation | MultipleChoice | PromptedClassification) and task.shots:
        drawn = few_shots(task, train or ())
        for row in rows:
            drawn.prefix(row)  # where the item is one of the examples, another one must be there
    return rows
