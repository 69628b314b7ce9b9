"""Read a task's rows from its folder, checked, and choose an even subset of them."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from eval.files import InputError, read_jsonl
from eval.results import SPLITS
from eval.tasks.base import KINDS, Generation, PromptedClassification, Row, Task

T = TypeVar("T")


class RowFile:
    """A task's checked rows, read anew from their file each time they are gone through.

    Memory holds one row at a time, whatever the file's size; `len` tells how many there are.
    """

    def __init__(self, path: Path, counts: tuple[int, ...]) -> None:
        """`counts`: the file's rows, then how many were chosen of them, then how many of those, …"""
        self.path = path
        self._counts = counts

    def __len__(self) -> int:
        return self._counts[-1]

    def __iter__(self) -> Iterator[Row]:
        wanted = self._places()
        place = next(wanted, None)
        for number, row in enumerate(read_jsonl(self.path)):
            if number == place:
                yield row
                place = next(wanted, None)
                if place is None:
                    return

    def choose(self, max_items: int | None) -> RowFile:
        """At most `max_items` of the rows, as `choose_evenly` does; all of them for `None`."""
        if max_items is None or max_items >= len(self):
            return self
        return RowFile(self.path, (*self._counts, max_items))

    def fingerprint(self) -> str:
        """16 hex digits that tell these rows from others: of the SHA-256 of each row as canonical JSON."""
        hashed = hashlib.sha256()
        for row in self:
            hashed.update(_canonical(row))
        return hashed.hexdigest()[:16]

    def _places(self) -> Iterator[int]:
        """The chosen rows' places in the file, ascending."""
        steps = list(zip(self._counts, self._counts[1:], strict=False))[::-1]
        for place in range(len(self)):
            for larger, smaller in steps:
                place = place * larger // smaller
            yield place


def open_rows(task: Task, data: Path, split: str) -> RowFile:
    """The rows of `<data>/<split>.jsonl` or `.jsonl.gz`, each looked at once: eight bytes of it are kept.

    Raises `InputError` when neither file is there, when a row lacks a field, has a wrong value or repeats an
    `id`, when there is no row, and when all texts of language modelling are empty.
    """
    path = _find(Path(data), split)
    names = array("Q")
    some_text = False
    for number, row in enumerate(read_jsonl(path), start=1):
        check_row(task, row, f"{path}: row {number}")
        names.append(_hash(row["id"]))
        some_text = some_text or task.kind != "language-modelling" or bool(row["text"].strip())
    if not names:
        raise InputError(f"{path}: no rows; {task.name} needs at least one")
    if not some_text:
        raise InputError(f"{path}: all {len(names)} texts are empty; {task.name} needs some")
    _refuse_repeats(path, names)
    return RowFile(path, (len(names),))


def read_rows(task: Task, data: Path, split: str) -> list[Row]:
    """The rows of a split in memory, in file order; raises `InputError` as `open_rows` does."""
    return list(open_rows(task, data, split))


def has_rows(data: Path, split: str) -> bool:
    """Whether the folder holds that split."""
    return any((Path(data) / name).is_file() for name in _names(split))


def split_files(data: Path) -> list[Path]:
    """The files of rows in a task's folder, one for each split that it holds."""
    return [_find(Path(data), split) for split in SPLITS if has_rows(data, split)]


def choose_evenly(rows: list[T], max_items: int | None) -> list[T]:
    """At most `max_items` rows, evenly spaced over the file and in its order; all of them for `None`."""
    if max_items is None or max_items >= len(rows):
        return rows
    return [rows[index * len(rows) // max_items] for index in range(max_items)]


def check_row(task: Task, row: Mapping[str, Any], where: str) -> None:
    """Raise `InputError`, beginning with `where`, for a row that is not in the canonical form of the task."""
    for field in task.fields:
        if field not in row:
            raise InputError(f"{where}: no field {field!r}; {task.name} rows have {', '.join(task.fields)}")
    for field in (*task.fields, *(name for name in KINDS[task.kind].optional if name in row)):
        holds, wanted = _WANTED.get(field, (_is_text, "a text"))
        if not holds(row[field]):
            raise InputError(f"{where}: {field} is {row[field]!r:.60}; {wanted} is wanted")
    if "tags" in task.fields and len(row["words"]) != len(row["tags"]):
        raise InputError(f"{where}: {len(row['words'])} words, {len(row['tags'])} tags; give each word a tag")
    if "choices" in task.fields and not 0 <= row["answer"] < len(row["choices"]):
        raise InputError(
            f"{where}: answer is {row['answer']}; the choices are 0 to {len(row['choices']) - 1}"
        )
    if isinstance(task, PromptedClassification) and row["label"] not in dict(task.verbalizers):
        known = ", ".join(label for label, _ in task.verbalizers)
        raise InputError(f"{where}: label is {row['label']!r}; the labels of {task.name} are {known}")
    if isinstance(task, Generation) and not all(text.strip() for text in task.references(row)):
        raise InputError(
            f"{where}: no text to compare with, as {task.metrics[0]} needs; write a target, or remove the row"
        )


def _names(split: str) -> tuple[str, str]:
    return f"{split}.jsonl", f"{split}.jsonl.gz"


def _find(data: Path, split: str) -> Path:
    for name in _names(split):
        if (data / name).is_file():
            return data / name
    raise InputError(f"{data}: holds neither {split}.jsonl nor {split}.jsonl.gz; name a folder that does")


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")


def _refuse_repeats(path: Path, names: array[int]) -> None:
    """Look for the row that repeats an id, if any hashes are alike."""
    import numpy as np

    values, counts = np.unique(np.frombuffer(names, dtype=np.uint64), return_counts=True)
    alike = set(values[counts > 1].tolist())
    seen: set[str] = set()
    for number, row in enumerate(read_jsonl(path) if alike else (), start=1):
        if _hash(row["id"]) not in alike:
            continue
        if row["id"] in seen:
            raise InputError(f"{path}: row {number}: id {row['id']!r} was used before; give each row its own")
        seen.add(row["id"])


def _canonical(row: Row) -> bytes:
    return (json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n").encode()


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _are_choices(value: Any) -> bool:
    return _is_texts(value) and len(set(value)) == len(value) > 1 and all(one.strip() for one in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_name(value: Any) -> bool:
    return isinstance(value, (str, int))


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
    "choices": (_are_choices, "a list of two or more texts, all different,"),
    "answer": (_is_count, "a choice's number, from 0,"),
    "references": (_is_texts, "a list of texts"),
    "bytes": (_is_count, "a whole number"),
    "group": (_is_name, "a name"),
    "subset": (_is_name, "a name"),
}
