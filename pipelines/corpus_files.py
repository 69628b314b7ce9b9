"""Read a corpus from the reader's own files: .txt, .jsonl, .csv and .parquet, each also as .gz.

A row of a table is a document. With twenty files or more, every text file is a document and the split is
by file. With fewer there would be none to spare, so the split is by document, and text files are cut into
documents: at the first blank line after 4,000 characters, or at the first line end after 16,000.
"""

from __future__ import annotations

import csv
import glob
import gzip
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.files import InputError, hash_file, hash_json, read_jsonl, read_text
from pipelines.corpus_document import Document

MANY_FILES = 20  # at 5 % for validation and as much for the test, a file each
PIECE = 4_000  # characters
LONGEST_PIECE = 16_000
LONGEST_CSV_FIELD = 2**31 - 1  # Python's own limit of 131,072 characters is less than a long document


def files_fingerprint(settings: Mapping[str, Any], base: Path) -> str:
    """`files-<16 hex digits>` of the names and contents; `InputError` for a file that is missing or empty."""
    paths = find_files(settings["files"], base)
    return f"files-{hash_json([[name, hash_file(path)] for name, path in paths.items()])}"


def read_files(settings: Mapping[str, Any], base: Path) -> Iterator[Document]:
    """The documents of all files, by file name; `InputError` says which file and row cannot be read."""
    paths = find_files(settings["files"], base)
    by_file = len(paths) >= MANY_FILES
    for name, path in paths.items():
        if _kind(path) == ".txt":
            text = read_text(path)
            texts = {name: text} if by_file else _numbered(name, cut(text))
        else:
            texts = _numbered(name, READERS[_kind(path)](path, settings["text_column"]))
        if not any(texts.values()):
            raise InputError(f"{path}: no text in it; remove it from corpus.files")
        for document, text in texts.items():
            yield Document(id=document, text=text, group=name if by_file else document)


def find_files(patterns: Sequence[str], base: Path) -> dict[str, Path]:
    """Name (relative to `base` where it lies below it) -> path of every file that a pattern matches, sorted.

    Raises `InputError` for a pattern that matches nothing, a file of unknown kind, a folder, an empty file.
    """
    found: dict[str, Path] = {}
    for pattern in patterns:
        place = str(base / Path(pattern).expanduser())
        matches = glob.glob(place, recursive=True)  # noqa: PTH207 (Path.glob takes no absolute pattern)
        if not matches:
            raise InputError(f"corpus.files: {pattern!r} matches no file in {base}; check the name")
        for path in map(Path, matches):
            _check(path)
            found[path.relative_to(base).as_posix() if path.is_relative_to(base) else path.as_posix()] = path
    return dict(sorted(found.items()))


def cut(text: str) -> Iterator[str]:
    """Consecutive pieces of a text, none of its lines broken; together they are the text."""
    piece: list[str] = []
    size = 0
    for line in io.StringIO(text):
        piece.append(line)
        size += len(line)
        if size >= LONGEST_PIECE or (size >= PIECE and not line.strip()):
            yield "".join(piece)
            piece, size = [], 0
    if piece:
        yield "".join(piece)


def _check(path: Path) -> None:
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name the files in it, such as {path.name}/*.txt")
    if _kind(path) not in (".txt", *READERS):
        wanted = ", ".join([".txt", *READERS])
        raise InputError(f"{path}: unknown kind of file; wanted {wanted}, or one of these with .gz")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: is empty; remove it from corpus.files or put text in it")


def _kind(path: Path) -> str:
    return Path(path.name.removesuffix(".gz")).suffix


def _numbered(name: str, texts: Iterator[str]) -> dict[str, str]:
    return {f"{name}#{number}": text for number, text in enumerate(texts, start=1)}


def _read_jsonl(path: Path, column: str) -> Iterator[str]:
    for number, row in enumerate(read_jsonl(path), start=1):
        _require(column, list(row), f"{path}: row {number}")
        yield as_text(row[column], f"{path}: row {number}, {column}")


def _read_csv(path: Path, column: str) -> Iterator[str]:
    csv.field_size_limit(LONGEST_CSV_FIELD)
    rows = csv.DictReader(io.StringIO(read_text(path).removeprefix("\ufeff"), newline=""))
    _require(column, list(rows.fieldnames or []), str(path))
    try:
        for row in rows:
            yield row[column] or ""
    except csv.Error as error:
        raise InputError(f"{path}:{rows.line_num}: not CSV ({error}); mend or remove the line") from error


def _read_parquet(path: Path, column: str) -> Iterator[str]:
    import pyarrow
    from pyarrow import parquet

    try:
        source = io.BytesIO(gzip.decompress(path.read_bytes())) if path.suffix == ".gz" else path
        file = parquet.ParquetFile(source)
        _require(column, file.schema_arrow.names, str(path))
        values = file.read(columns=[column]).column(column).to_pylist()
    except (pyarrow.ArrowInvalid, gzip.BadGzipFile, EOFError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: not a whole parquet file ({reason}); make it again") from error
    for number, value in enumerate(values, start=1):
        yield as_text(value, f"{path}: row {number}, {column}")


READERS = {".jsonl": _read_jsonl, ".csv": _read_csv, ".parquet": _read_parquet}


def as_text(value: Any, place: str) -> str:
    """A table's value as a text: null is "" (to be left out); `InputError` for what is no text."""
    if value is None or isinstance(value, str):
        return value or ""
    raise InputError(f"{place}: {value!r:.60} is no text; set corpus.text_column to a column of texts")


def _require(column: str, there: Sequence[str], place: str) -> None:
    if column not in there:
        raise InputError(
            f"{place}: no column {column!r}; set corpus.text_column to one of {', '.join(map(str, there))}"
        )
