"""Read and write the project's small files: atomically, reproducibly, with errors that say where."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from threading import Event
from typing import Any, BinaryIO, cast

from eval.safety import MOST_RATIO, Unpacked, UnpacksTooFar

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # half a character, which JSON can spell and UTF-8 cannot

_CHUNK = 2**17  # bytes unpacked at a time


_CHUNK = 2**22  # bytes hashed at a time


class InputError(ValueError):
    """A reader's mistake: one line saying where, which value, what to do."""


def write_atomic(path: Path, data: str | bytes) -> None:
    """Write `data` (text as UTF-8) so that `path` is at every moment the old file or the new one, whole."""
    with open_atomic(path) as file:
        file.write(data.encode("utf-8") if isinstance(data, str) else data)


@contextlib.contextmanager
def open_atomic(path: Path) -> Iterator[BinaryIO]:
    """A file to write (and seek in) that takes the place of `path` once it is whole."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.part")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
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
    return "".join(read_lines(path))


def read_json(path: Path) -> Any:
    """The value of a JSON file; `InputError` names a file that is missing or broken."""
    text = read_text(path)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({_reason(error)}); mend or replace it") from error


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
    """The objects of a JSON Lines file (`.gz` too), blank lines skipped, one in memory at a time.

    Raises `InputError`, naming file and line, as it comes to what is wrong.
    """
    for number, line in enumerate(read_lines(path), start=1):
        # some editors on Windows begin a file with this mark
        text = line.removeprefix("\ufeff") if number == 1 else line
        if text.strip():
            yield parse_object(text, f"{path}:{number}")


@contextlib.contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes, unpacked when its name ends in `.gz`.

    Raises `InputError` when they cannot be read whole, and when a packed file turns out to be more than
    `eval.safety.MOST_RATIO` times its size.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            packed = path.suffix.lower() == ".gz"
            yield cast(BinaryIO, io.BufferedReader(Unpacked(file), _CHUNK)) if packed else file
    except UnpacksTooFar as error:
        raise InputError(
            f"{path}: unpacks to more than {MOST_RATIO} times its size, as no honest text does; if you want "
            f"it, unpack it yourself and name the file without .gz"
        ) from error
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; check the name") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: is a folder; name a file in it") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path}: not a whole gzip file ({error}); make it again, or rename it") from error


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a UTF-8 file, each with its line end; `InputError` names the first byte that is not."""
    offset = 0
    with open_bytes(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                yield line.decode("utf-8")
            except UnicodeDecodeError as error:
                place = offset + error.start
                raise InputError(
                    f"{path}:{number}: byte {place} ({line[error.start]:#04x}) is not UTF-8; save it as UTF-8"
                ) from error
            offset += len(line)


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write one JSON object a line, atomically, as they come; returns how many."""
    count = 0
    with open_jsonl(path) as write:
        for row in rows:
            write(row)
            count += 1
    return count


@contextlib.contextmanager
def open_jsonl(path: Path) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """What writes an object as a line of a new file, which is at `path` once all are written, not before.

    A `.gz` file carries no time stamp and no name, so that the same rows are the same bytes.
    """
    path = Path(path)
    with open_atomic(path) as file, _packed(file, path.suffix == ".gz") as out:

        def write(row: Mapping[str, Any]) -> None:
            out.write((json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8"))

        yield write


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


def has_hash(value: Any, expected: Any) -> bool:
    """Whether `hash_json` gives that; not of what we write in no file: NaN, half a character."""
    try:
        return hash_json(value) == expected
    except (ValueError, RecursionError):
        return False


def hash_whole_file(path: Path, stop: Event | None = None) -> str:
    """The SHA-256 of a file's bytes, 64 hex digits, as object stores and other tools print it.

    stop: once it is set, InterruptedError is raised; a large file takes minutes.
    """
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while chunk := file.read(_CHUNK):
            if stop is not None and stop.is_set():
                raise InterruptedError(f"{path}: not hashed to its end")
            digest.update(chunk)
    return digest.hexdigest()


def write_sealed(path: Path, value: Mapping[str, Any]) -> None:
    """Write an object as JSON with the hash of its other fields as `sha256`; `read_sealed` looks at it."""
    assert "sha256" not in value, f"{path}: the seal's own name"
    as_read = json.loads(json.dumps(value, allow_nan=False))  # keys are texts then, and sorted as such
    write_json(path, {**value, "sha256": hash_json(as_read)})


def read_sealed(path: Path, *, unsealed: bool = False) -> dict[str, Any]:
    """The object that `write_sealed` wrote, without its seal; `InputError` where a field was altered since.

    unsealed: whether one without a hash is taken too, as somebody may have written it by hand.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise InputError(f"{path}: a JSON object is wanted, not a {type(value).__name__}; remove the file")
    seal = value.pop("sha256", None)
    if not (unsealed and seal is None) and not has_hash(value, seal):
        raise InputError(f"{path}: does not have the hash it was written with; it was altered or cut short")
    return value


@contextlib.contextmanager
def _packed(file: BinaryIO, wanted: bool) -> Iterator[BinaryIO]:
    """The file itself, or one that packs what is written into it."""
    if not wanted:
        yield file
        return
    with gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=6, mtime=0) as packed:
        yield cast(BinaryIO, packed)
