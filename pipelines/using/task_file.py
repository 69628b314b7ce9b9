"""What a fine-tuned model was trained for, in a file beside its weights: `stepladder.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from eval.files import InputError, read_json, write_json
from eval.tasks import Task, get_task, make_task
from eval.tasks.settings import TaskSettings

NAME = "stepladder.json"
_PLACES = ("files", "hub")  # where the rows were: needed by settings, not by a model


@dataclass(frozen=True, kw_only=True)
class TaskFile:
    """A model's task. `definition`: the recipe's own task's settings; None for a built-in one.

    `objective` is what the model learnt, `max_tokens` the longest input it was trained and measured on.
    """

    task: str
    definition: dict[str, Any] | None
    objective: str
    max_tokens: int

    def make(self) -> Task:
        """The task itself: how its rows are read and asked. Raises InputError where nobody knows it."""
        if self.definition is None:
            return get_task(self.task)
        return make_task(self.task, _settings(self.definition))

    @property
    def columns(self) -> Mapping[str, str]:
        """The columns that the recipe read the fields from, where their names differ."""
        return (self.definition or {}).get("columns") or {}

    @property
    def prompt(self) -> str | None:
        """The template that the recipe made sources with, if it did."""
        return (self.definition or {}).get("prompt")


def own_task(kind: str, name: str) -> Task:
    """A task of this kind that was not given by a recipe: that of a model from elsewhere."""
    return make_task(name, _settings({"kind": kind}))


def write_task_file(model: Path, task: TaskFile) -> None:
    """Leave `stepladder.json` in a model's folder; without names of files, which mean nothing elsewhere."""
    if task.definition is not None:
        task = replace(task, definition={k: v for k, v in task.definition.items() if k != "files"})
    write_json(model / NAME, asdict(task))


def read_task_file(model: Path) -> TaskFile | None:
    """The task that a folder names; None for a model from elsewhere. Raises InputError for a broken file."""
    path = model / NAME
    if not path.is_file():
        return None
    try:
        found = TaskFile(**read_json(path))
        found.make()
    except (TypeError, ValidationError, AttributeError, InputError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{path}: is no task file ({reason}); fine-tune the model again, or delete it"
        ) from error
    return found


def _settings(definition: Mapping[str, Any]) -> TaskSettings:
    """Settings without the places of rows; in their stead is one that is never looked at."""
    rest = {name: value for name, value in definition.items() if name not in _PLACES}
    return TaskSettings(**rest, files={"test": "-"})
