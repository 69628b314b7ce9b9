"""The labels of a task's rows against a model's own names of its outputs: they must be the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.files import InputError
from eval.tasks.base import Classification, MultiLabel, Row, Tagging

Labelled = Classification | MultiLabel | Tagging
"""The kinds that a model learns a label for each output of."""


def output_names(id2label: Mapping[Any, Any]) -> list[str]:
    """The names of a model's outputs in their order, from what its config.json calls `id2label`."""
    named = {int(index): str(name) for index, name in id2label.items()}
    return [named[index] for index in sorted(named)]


def labels_of(task: Labelled, row: Row) -> Sequence[str]:
    """The one label of a text, the several of it, or its words' tags."""
    if isinstance(task, Classification):
        return (task.label(row),)
    return list(row["labels"] if isinstance(task, MultiLabel) else row["tags"])


def check_labels(
    task: Labelled, names: Sequence[str], rows: Iterable[Row], train: Iterable[Row], model: Path
) -> None:
    """Raise `InputError` where `model`, whose outputs have `names`, does not have the task's labels.

    Those are the labels of the train rows; without train rows the model's own.
    """
    learnt = {label for row in train for label in labels_of(task, row)}
    what = "tag" if isinstance(task, Tagging) else "label"
    known = sorted(learnt or set(names))
    if unknown := sorted({label for row in rows for label in labels_of(task, row)} - set(known)):
        where = "train; add rows or remove it" if learnt else f"those of {model}: {', '.join(known)}"
        raise InputError(f"{task.name}: {what} {unknown[0]!r} is not in {where}")
    if sorted(names) != known:
        raise InputError(
            f"{model}: id2label of config.json has {', '.join(sorted(names))} where {task.name} has "
            f"{', '.join(known)}; fine-tune with id2label set to them"
        )
