"""What a fine-tuned model was trained for, in a file beside its weights: `stepladder.json`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from eval.files import InputError, read_json, write_json

NAME = "stepladder.json"


@dataclass(frozen=True, kw_only=True)
class TaskFile:
    """A model's task. `definition`: the recipe's own task's settings; None for a built-in one."""

    task: str
    definition: dict[str, Any] | None
    objective: str
    max_tokens: int


def write_task_file(model: Path, task: TaskFile) -> None:
    """Leave `stepladder.json` in a model's folder."""
    write_json(model / NAME, asdict(task))


def read_task_file(model: Path) -> TaskFile | None:
    """The task that a folder names; None for a model from elsewhere. Raises InputError for a broken file."""
    path = model / NAME
    if not path.is_file():
        return None
    try:
        return TaskFile(**read_json(path))
    except TypeError as error:
        raise InputError(
            f"{path}: is no task file ({error}); fine-tune the model again, or delete it"
        ) from error
