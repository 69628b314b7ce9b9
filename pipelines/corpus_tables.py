"""Read the texts of a table's columns, some rows at a time: .jsonl, .csv and .parquet, each also as .gz."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.files import InputError, open_bytes
from eval.parquet import read_parquet
from eval.tables import read_csv
from pipelines.corpus_lines import read_rows


def text_columns(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The columns that a corpus's texts stand in, at least one."""
    wanted = settings.get("text_column") or "text"
    return (wanted,) if isinstance(wanted, str) else tuple(wanted)


def row_text(row: Mapping[str, Any], columns: Sequence[str], place: str) -> str:
    """A row's text, its columns on lines of their own; "" (to be left out) where all are null or empty."""
    texts = [_as_text(row[column], f"{place}, {column}") for column in columns]
    return "\n".join(text for text in texts if text)


def _as_text(value: Any, place: str) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    raise InputError(f"{place}: {value!r:.60} is no text; set corpus.text_column to a column of texts")


def _read_jsonl(path: Path, columns: Sequence[str]) -> Iterator[str]:
    for number, (_, row) in enumerate(read_rows(path), start=1):
        _require(columns, list(row), f"{path}: row {number}")
        yield row_text(row, columns, f"{path}: row {number}")


def _read_csv(path: Path, columns: Sequence[str]) -> Iterator[str]:
    with open_bytes(path) as file:
        for line, row in read_csv(file, str(path)):
            _require(columns, list(row), str(path))
            yield row_text(row, columns, f"{path}:{line}")


def _read_parquet(path: Path, columns: Sequence[str]) -> Iterator[str]:
    rows = read_parquet(path, columns, lambda names: _require(columns, names, str(path)))
    for number, row in enumerate(rows, start=1):
        yield row_text(row, columns, f"{path}: row {number}")


def _require(columns: Sequence[str], there: Sequence[str], place: str) -> None:
    for column in columns:
        if column in there:
            continue
        raise InputError(
            f"{place}: no column {column!r}; set corpus.text_column to one of {', '.join(map(str, there))}"
        )


READERS = {".jsonl": _read_jsonl, ".csv": _read_csv, ".parquet": _read_parquet}
