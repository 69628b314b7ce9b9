"""Read a task's rows from its folder, checked, and choose an even subset of them."""

from __future__ import annotations

from collections.abc import Callable
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


def has_rows(data: Path, split: str) -> bool:
    """Whether the folder holds that split."""
    return any((Path(data) / name).is_file() for name in _names(split))


def choose_evenly(rows: list[T], max_items: int | None) -> list[T]:
    """At most `max_items` rows, evenly spaced over the file and in its order; all of them for `None`."""
    if max_items is None or max_items >= len(rows):
        return rows
    return [rows[index * len(rows) // max_items] for index in range(max_items)]


def _names(split: str) -> tuple[str, str]:
    return f"{split}.jsonl", f"{split}.jsonl.gz"


def _find(data: Path, split: str) -> Path:
    for name in _names(split):
        if (data / name).is_file():
            return data / name
    raise InputError(f"{data}: holds neither {split}.jsonl nor {split}.jsonl.gz; name a folder that does")


def _check(task: Task, row: dict[str, Any], where: str) -> None:
    for field in task.fields:
        if field not in row:
            raise InputError(f"{where}: no field {field!r}; {task.name} rows have {', '.join(task.fields)}")
        holds, wanted = _WANTED.get(field, (_is_text, "a text"))
        if not holds(row[field]):
            raise InputError(f"{where}: {field} is {row[field]!r}; {wanted} is wanted")
    if "tags" in task.fields and len(row["words"]) != len(row["tags"]):
        raise InputError(f"{where}: {len(row['words'])} words, {len(row['tags'])} tags; give each word a tag")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _are_answers(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, dict) and isinstance(one.get("text"), str) and isinstance(one.get("start"), int)
        for one in value
    )


# What the fields that are no plain text hold.
_WANTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "labels": (_is_texts, "a list of labels"),
    "value": (_is_number, "a number"),
    "answers": (_are_answers, "a list of {text, start}"),
    "words": (_is_texts, "a list of words"),
    "tags": (_is_texts, "a list of tags"),
}
