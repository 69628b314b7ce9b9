"""Read a task's rows from its folder, checked, and choose an even subset of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from eval.files import InputError, read_jsonl
from eval.tasks.base import Row, Task

T = TypeVar("T")


def read_rows(task: Task, data: Path, split: str) -> list[Row]:
    """The rows of `<data>/<split>.jsonl` or `.jsonl.gz`, in file order.

    Raises `InputError` when neither file is there, when a row lacks a field or repeats an `id`, or when there
    is no row.
    """
    path = _find(Path(data), split)
    rows: list[Row] = []
    seen: set[str] = set()
    for number, row in enumerate(read_jsonl(path), start=1):
        _check(task, row, f"{path}: row {number}")
        if row["id"] in seen:
            raise InputError(f"{path}: row {number}: id {row['id']!r} was used before; give each row its own")
        seen.add(row["id"])
        rows.append(row)
    if not rows:
        raise InputError(f"{path}: no rows; {task.name} needs at least one")
    return rows


def choose_evenly(rows: list[T], max_items: int | None) -> list[T]:
    """At most `max_items` rows, evenly spaced over the file and in its order; all of them for `None`."""
    if max_items is None or max_items >= len(rows):
        return rows
    return [rows[index * len(rows) // max_items] for index in range(max_items)]


def _find(data: Path, split: str) -> Path:
    for name in (f"{split}.jsonl", f"{split}.jsonl.gz"):
        if (data / name).is_file():
            return data / name
    raise InputError(f"{data}: holds neither {split}.jsonl nor {split}.jsonl.gz; name a folder that does")


def _check(task: Task, row: dict[str, Any], where: str) -> None:
    for field in task.fields:
        if field not in row:
            raise InputError(f"{where}: no field {field!r}; {task.name} rows have {', '.join(task.fields)}")
        if not isinstance(row[field], str):
            raise InputError(f"{where}: {field} is {row[field]!r}; a text is wanted")
