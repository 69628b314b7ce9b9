"""Rows to work on, from a file or standard input, a row at a time: .jsonl, .csv, .parquet, lines of text."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from eval.files import InputError, open_bytes, parse_object
from eval.parquet import read_parquet
from eval.tables import read_csv
from eval.tasks.templates import ROW, columns_of, render

STDIN = "-"
TEXT = "text"  # the one column of lines of text


@dataclass(frozen=True)
class InputRow:
    """`values` by column; `where` begins every error about the row, `number` counts from 1."""

    number: int
    where: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Columns:
    """Which column holds a field: `asked` by the reader, `usual` in the files the model was taught with.

    `templates`: the fields that were made of several columns, where a row has all of these.
    """

    asked: Mapping[str, str] = field(default_factory=dict)
    usual: Mapping[str, str] = field(default_factory=dict)
    templates: Mapping[str, str] = field(default_factory=dict)

    def find(self, row: InputRow, name: str, *others: str) -> Any:
        """The value of a field: in the column asked for; else as its template makes it; else in the usual
        column, its own, or one of `others`.

        Raises InputError where none of them is there, with those that are.
        """
        template = None if name in self.asked else self.templates.get(name)
        if template is not None and columns_of(template) <= {*row.values, ROW}:
            return render(template, row.values, f"{row.where}: the template of {name}")
        column = self.column(row, name, *others)
        if column is not None:
            return row.values[column]
        wanted = self.asked.get(name) or self.usual.get(name, name)
        there = ", ".join(map(str, row.values)) or "none"
        raise InputError(
            f"{row.where}: no column {wanted!r} for {name}; there are {there}; "
            f"name one with --column {name}=NAME"
        )

    def column(self, row: InputRow, name: str, *others: str) -> str | None:
        """The column that `find` would take; None where there is none."""
        if name in self.asked:
            wanted: tuple[str, ...] = (self.asked[name],)
        else:
            wanted = (self.usual.get(name, name), name, *others)
        return next((column for column in wanted if column in row.values), None)


def read_inputs(file: str) -> Iterator[InputRow]:
    """The rows of a file in its order; `-` is standard input: JSON Lines if it begins with `{`, else text.

    The kind is told by the ending: .jsonl, .csv or .parquet (each also .gz); any other is text, a line a row,
    in the column `text`. Raises InputError for what is missing, empty, broken or binary.
    """
    rows = _read_stdin() if file == STDIN else _read_file(Path(file).expanduser())
    first = next(rows, None)
    if first is None:
        name = "standard input" if file == STDIN else file
        raise InputError(f"{name}: has no rows; give at least one")
    return chain([first], rows)


def _read_file(path: Path) -> Iterator[InputRow]:
    kind = Path(path.name.lower().removesuffix(".gz")).suffix
    if kind == ".parquet":
        for number, row in enumerate(read_parquet(path), start=1):
            yield InputRow(number, f"{path}: row {number}", row)
        return
    reader = {".jsonl": _json_lines, ".csv": _csv}.get(kind, _lines)
    with open_bytes(path) as file:
        yield from reader(file, str(path))


def _read_stdin() -> Iterator[InputRow]:
    lines = iter(sys.stdin.buffer)
    first = next(lines, None)
    if first is None:
        return
    reader = _json_lines if first.lstrip(b"\xef\xbb\xbf \t").startswith(b"{") else _lines
    yield from reader(chain([first], lines), "standard input")


def _lines(lines: Iterable[bytes], name: str) -> Iterator[InputRow]:
    for number, line in enumerate(lines, start=1):
        yield InputRow(number, f"{name}:{number}", {TEXT: _decoded(line, f"{name}:{number}").rstrip("\r\n")})


def _decoded(line: bytes, where: str) -> str:
    if b"\0" in line:
        raise InputError(f"{where}: holds zero bytes, so is no text; give .jsonl, .csv, .parquet or text")
    try:
        return line.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: byte {line[error.start]:#04x} is not UTF-8; save it as UTF-8") from error


def _json_lines(lines: Iterable[bytes], name: str) -> Iterator[InputRow]:
    number = 0
    for place, line in enumerate(lines, start=1):
        where = f"{name}:{place}"
        text = _decoded(line, where)
        if text.strip():
            number += 1
            yield InputRow(number, where, parse_object(text, where))


def _csv(file: BinaryIO, name: str) -> Iterator[InputRow]:
    for number, (line, row) in enumerate(read_csv(file, name), start=1):
        yield InputRow(number, f"{name}:{line}", row)
