"""Read the rows of a small table, a task's: .jsonl, .csv or .parquet, each also as .gz."""

from __future__ import annotations

import csv
import glob
import gzip
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from eval.files import InputError, read_bytes, read_jsonl

KINDS = (".jsonl", ".csv", ".parquet")
_LONGEST_FIELD = 2**31 - 1  # Python's own limit of 131,072 characters is less than a long document


def find_tables(patterns: Sequence[str], base: Path, where: str) -> dict[str, Path]:
    """Name (relative to `base` where it lies below it) -> path of every file that a pattern matches, sorted.

    Raises `InputError`, beginning with `where`, for a pattern without a match, a folder, an unknown kind.
    """
    found: dict[str, Path] = {}
    for pattern in patterns:
        place = str(base / Path(pattern).expanduser())
        matches = [place] if Path(place).exists() else glob.glob(place, recursive=True)  # noqa: PTH207
        if not matches:
            raise InputError(f"{where}: {pattern!r} matches no file in {base}; check the name")
        for path in map(Path, matches):
            if path.is_dir():
                raise InputError(f"{where}: {path} is a folder; name files in it, such as {pattern}/*.jsonl")
            if _kind(path) not in KINDS:
                raise InputError(f"{where}: {path} is none of {', '.join(KINDS)} (or .gz); convert it")
            name = path.relative_to(base) if path.is_relative_to(base) else path
            found[name.as_posix()] = path
    return dict(sorted(found.items()))


def read_table(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a table in their order: column -> value. A CSV file's values are all texts.

    Raises `InputError` for a file that is missing or broken; `ValueError` for a kind that is not in `KINDS`.
    """
    readers = {".jsonl": read_jsonl, ".csv": _read_csv_file, ".parquet": _read_parquet}
    if _kind(path) not in readers:
        raise ValueError(f"{path}: none of {', '.join(KINDS)}")
    return readers[_kind(path)](path)


def read_csv(file: BinaryIO, name: str) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, row) of a CSV file's rows, one at a time: column -> text; `line` is the row's last line.

    Raises `InputError`, beginning with `name`, for quotes that never end, rows with more or fewer columns
    than the first line has, and bytes that are not UTF-8.
    """
    csv.field_size_limit(_LONGEST_FIELD)
    # strict: else an unclosed quote makes one field of the rest of the file
    rows = csv.DictReader(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""), strict=True)
    try:
        for row in rows:
            if None in row or None in row.values():
                wanted = f"the {len(rows.fieldnames or ())} of the first line"
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


def _kind(path: Path) -> str:
    """The ending that tells how the file is read, `.gz` taken off."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def _read_csv_file(path: Path) -> Iterator[dict[str, Any]]:
    for _, row in read_csv(io.BytesIO(read_bytes(path)), str(path)):
        yield row


def _read_parquet(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(io.BytesIO(read_bytes(path)))
    except (pyarrow.ArrowInvalid, gzip.BadGzipFile) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: not a whole parquet file ({reason}); make it again") from error
    for batch in table.to_batches(1024):
        yield from batch.to_pylist()
