"""Write answers as they come: JSON Lines or CSV, to a file or standard output."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, TextIO

from eval.files import InputError

FORMATS = ("jsonl", "csv")


class Write(Protocol):
    """Write one answer."""

    def __call__(self, answer: Mapping[str, Any]) -> None: ...


@contextlib.contextmanager
def open_output(path: Path | None, form: str | None) -> Iterator[Write]:
    """A function that writes one answer. `form` None: CSV for a file that ends so, else JSON Lines.

    A file is written beside its place and named when all answers are there; standard output gets each answer
    at once. Raises InputError for a folder, or a folder that is not there.
    """
    form = form or ("csv" if path is not None and path.suffix.lower() == ".csv" else "jsonl")
    if form not in FORMATS:
        raise InputError(f"--format: {form!r}; one of {', '.join(FORMATS)} is wanted")
    if path is None:
        yield _writer(sys.stdout, form)
        return
    if path.is_dir():
        raise InputError(f"--out: {path} is a folder; name a file in it")
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("x", encoding="utf-8", newline="") as file:
            yield _writer(file, form)
        beside.replace(path)
    except FileNotFoundError as error:
        raise InputError(f"--out: no folder {path.parent}; make it, or name another") from error
    finally:
        beside.unlink(missing_ok=True)


def _writer(file: TextIO, form: str) -> Write:
    at_once = file is sys.stdout
    columns: list[str] = []

    def write_json(answer: Mapping[str, Any]) -> None:
        file.write(json.dumps(answer, ensure_ascii=False) + "\n")
        if at_once:
            file.flush()

    def write_csv(answer: Mapping[str, Any]) -> None:
        flat = _flat(answer)
        if not columns:
            columns.extend(flat)
            file.write(_csv_line(columns))
        file.write(_csv_line([flat.get(column, "") for column in columns]))
        if at_once:
            file.flush()

    return write_csv if form == "csv" else write_json


def _flat(answer: Mapping[str, Any]) -> dict[str, Any]:
    """An answer as columns: `probabilities` one a label, lists on one line, true and false as JSON's."""
    flat: dict[str, Any] = {}
    for name, value in answer.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{key}": one for key, one in value.items()}
        elif isinstance(value, list):
            flat[name] = (" " if name in ("tags", "scores") else ", ").join(map(str, value))
        elif isinstance(value, bool):
            flat[name] = str(value).lower()
        else:
            flat[name] = "" if value is None else value
    return flat


def _csv_line(values: list[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()
