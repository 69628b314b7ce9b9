"""Read and write the project's small files: atomically, reproducibly, with errors that say where."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import os
import re
import secrets
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # half a character, which JSON can spell and UTF-8 cannot


class InputError(ValueError):
    """A reader's mistake: one line saying where, which value, what to do."""


def write_atomic(path: Path, data: str | bytes) -> None:
    """Write `data` (text as UTF-8) so that `path` is at every moment the old file or the new one, whole."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    payload = data.encode("utf-8") if isinstance(data, str) else data
    temporary = _part(path)
    try:
        with temporary.open("xb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


class GzipLines:
    """Lines that are written to a gzip file as they come; made by `open_gzip_lines`."""

    def __init__(self, file: gzip.GzipFile) -> None:
        self._file = file

    def write(self, line: str) -> None:
        """Write one line."""
        self._file.write(line.encode("utf-8") + b"\n")


@contextlib.contextmanager
def open_gzip_lines(path: Path) -> Iterator[GzipLines]:
    """A gzip file to write lines to, which is at `path` once all of them are written, and not before.

    It carries no time stamp and no name, so that the same lines are the same bytes.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _part(path)
    try:
        with temporary.open("xb") as raw:
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0) as file:
                yield GzipLines(file)
            raw.flush()
            os.fsync(raw.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON in its own key order; `ValueError` for NaN and infinity."""
    write_atomic(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, unpacked when its name ends in `.gz`.

    Raises `InputError` when the file is missing, is a folder, is not gzip though named so, or is not UTF-8.
    """
    data = read_bytes(Path(path))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}:{line}: byte {error.start} ({data[error.start]:#04x}) is not UTF-8; save it as UTF-8"
        ) from error


def read_json(path: Path) -> Any:
    """The value of a JSON file; `InputError` names a file that is missing or broken."""
    text = read_text(path)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({_reason(error)}); delete it, or write it again") from error


def parse_object(line: str, where: str, *, halves: bool = False) -> dict[str, Any]:
    """The object that a line of JSON holds; `InputError`, beginning with `where`, for anything else.

    Text with half a character in it (a lone surrogate, as in `"\\ud83d"`) is refused, for no file can hold
    it, unless `halves` says that the caller mends it.
    """
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON ({_reason(error)}); mend or remove the line") from error
    if not isinstance(row, dict):
        raise InputError(f"{where}: not an object but a {type(row).__name__}; write {{...}} on the line")
    if not halves and _SURROGATE.search(line):
        try:
            json.dumps(row, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError as error:
            half = f"\\u{ord(error.object[error.start]):04x}"
            raise InputError(f"{where}: holds half a character ({half}); mend or remove it") from error
    return row


def _reason(error: Exception) -> str:
    """What of a text is no JSON, in a few words."""
    if isinstance(error, json.JSONDecodeError):
        line = f"line {error.lineno}, " if error.lineno > 1 else ""
        return f"{error.msg} at {line}column {error.colno}"
    return "nested too deeply" if isinstance(error, RecursionError) else "a number of too many digits"


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON Lines file (`.gz` too), blank lines skipped; `InputError` names file and line."""
    text = read_text(path).removeprefix("\ufeff")  # some editors on Windows begin a file with this mark
    for number, line in enumerate(io.StringIO(text, newline="\n"), start=1):
        if not line.strip():
            continue
        yield parse_object(line, f"{path}:{number}")


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write one JSON object a line, atomically; returns how many.

    A `.gz` file carries no time stamp and no name, so that the same rows are the same bytes.
    """
    path = Path(path)
    lines = [json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows]
    data = "".join(lines).encode("utf-8")
    write_atomic(path, _gzip(data) if path.suffix == ".gz" else data)
    return len(lines)


def hash_file(path: Path) -> str:
    """The first 16 hex digits of the SHA-256 of a file's bytes."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; check the name") from error


def hash_json(value: Any) -> str:
    """The first 16 hex digits of the SHA-256 of `value` as canonical JSON: sorted keys, no spaces, no NaN."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()[:16]


def read_bytes(path: Path) -> bytes:
    """The bytes of a file, unpacked when its name ends in `.gz`; raises `InputError` as `read_text` does."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; check the name") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: is a folder; name a file in it") from error
    if path.suffix != ".gz":
        return data
    try:
        return gzip.decompress(data)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path}: not a whole gzip file ({error}); make it again, or rename it") from error


def _part(path: Path) -> Path:
    """A name beside `path` for what is not whole yet."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")


def _gzip(data: bytes) -> bytes:
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, compresslevel=6, mtime=0) as file:
        file.write(data)
    return packed.getvalue()
