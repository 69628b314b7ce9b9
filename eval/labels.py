"""The labels of a task's rows against a model's own names of its outputs: they must be the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class SeenLabels:
    """The labels of a task's train rows, empty without such rows, and of the rows that are measured."""

    learnt: frozenset[str]
    measured: frozenset[str]


def see_labels(task: Labelled, rows: Iterable[Row], train: Iterable[Row]) -> SeenLabels:
    """All labels there are, each row looked at once."""
    learnt, measured = (
        frozenset(label for row in some for label in labels_of(task, row)) for some in (train, rows)
    )
    return SeenLabels(learnt, measured)


def check_labels(task: Labelled, names: Sequence[str], seen: SeenLabels, model: Path) -> None:
    """Raise `InputError` where `model`, whose outputs have `names`, does not have the task's labels.

    Those are the labels of the train rows; without train rows the model's own.
    """
    what = "tag" if isinstance(task, Tagging) else "label"
    known = sorted(seen.learnt or set(names))
    if unknown := sorted(seen.measured - set(known)):
        where = (
            "train; add rows with it, or remove it"
            if seen.learnt
            else f"those of {model}: {', '.join(known)}; name rows with these, or a model that knows it"
        )
        raise InputError(f"{task.name}: {what} {unknown[0]!r} is not in {where}")
    if sorted(names) != known:
        raise InputError(
            f"{model}: id2label of config.json has {', '.join(sorted(names))} where {task.name} has "
            f"{', '.join(known)}; fine-tune with id2label set to them"
        )
