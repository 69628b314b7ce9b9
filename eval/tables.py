"""Read the rows of a small table, a task's: .jsonl, .csv or .parquet, or whole texts; each also as .gz."""

from __future__ import annotations

import csv
import glob
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from eval.files import InputError, open_bytes, read_jsonl, read_text
from eval.parquet import read_parquet

TABLES = (".jsonl", ".csv", ".parquet")
DOCUMENT = ".txt"  # one row, whose column `text` is the whole file
_LONGEST_FIELD = 2**31 - 1  # Python's own limit of 131,072 characters is less than a long document


def find_tables(
    patterns: Sequence[str], base: Path, where: str, *, documents: bool = False
) -> dict[str, Path]:
    """Name (relative to `base` where it lies below it) -> path of every file that a pattern matches, sorted.

    Text files are found only where `documents` says that rows may be. Raises `InputError`, beginning with
    `where`, for a pattern without a match, a folder, an unknown kind.
    """
    kinds = (*TABLES, DOCUMENT) if documents else TABLES
    found: dict[str, Path] = {}
    for pattern in patterns:
        place = str(base / Path(pattern).expanduser())
        matches = [place] if Path(place).exists() else sorted(glob.glob(place, recursive=True))  # noqa: PTH207
        if not matches:
            raise InputError(f"{where}: {pattern!r} matches no file in {base}; check the name")
        for path in map(Path, matches):
            if path.is_dir():
                raise InputError(f"{where}: {path} is a folder; name files in it, such as {pattern}/*.jsonl")
            if file_kind(path) not in kinds:
                raise InputError(f"{where}: {path} is none of {', '.join(kinds)} (or .gz); convert it")
            name = path.relative_to(base) if path.is_relative_to(base) else path
            found[name.as_posix()] = path
    return dict(sorted(found.items()))


def read_table(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file in their order: column -> value. A CSV file's values are all texts.

    Raises `InputError` for a file that is missing or broken; `ValueError` for a kind that is not known.
    """
    readers = {".jsonl": read_jsonl, ".csv": _read_csv_file, ".parquet": read_parquet, DOCUMENT: _read_whole}
    if file_kind(path) not in readers:
        raise ValueError(f"{path}: none of {', '.join(readers)}")
    return readers[file_kind(path)](path)


def read_csv(file: BinaryIO, name: str) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, row) of a CSV file's rows, one at a time: column -> text; `line` is the row's last line.

    Raises `InputError`, beginning with `name`, for quotes that never end, two columns of one name, rows
    with more or fewer columns than the first line has, and bytes that are not UTF-8.
    """
    csv.field_size_limit(_LONGEST_FIELD)
    # strict: else an unclosed quote makes one field of the rest of the file
    rows = csv.DictReader(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""), strict=True)
    try:
        names = rows.fieldnames or ()
        if doubled := [one for one in names if one and list(names).count(one) > 1]:
            raise InputError(f"{name}: has two columns {doubled[0]!r}; give each a name of its own")
        for row in rows:
            if None in row or None in row.values():
                wanted = f"the {len(names)} of the first line"
                raise InputError(f"{name}:{rows.line_num}: has other columns than {wanted}; mend the line")
            yield rows.line_num, row
    except csv.Error as error:
        begun = rows.line_num + 1  # the row that the error is in; an unclosed quote ends with the file
        raise InputError(f"{name}:{begun}: not CSV ({error}); mend or remove the line") from error
    except UnicodeDecodeError as error:
        byte = f"{error.object[error.start]:#04x}"
        raise InputError(
            f"{name}: byte {byte} after line {rows.line_num} is not UTF-8; save it as UTF-8"
        ) from error


def file_kind(path: Path) -> str:
    """The ending that tells how the file is read, `.gz` taken off."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def _read_whole(path: Path) -> Iterator[dict[str, Any]]:
    yield {"text": read_text(path)}


def _read_csv_file(path: Path) -> Iterator[dict[str, Any]]:
    with open_bytes(path) as file:
        for _, row in read_csv(file, str(path)):
            yield row
