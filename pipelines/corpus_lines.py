"""Read text files a line at a time, so that a file of any size takes the memory of its longest line."""

from __future__ import annotations

import contextlib
import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from eval.files import InputError


@contextlib.contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes, unpacked when its name ends in `.gz`; `InputError` when they cannot be read whole."""
    try:
        with path.open("rb") as file:
            packed = path.suffix.lower() == ".gz"
            yield cast(BinaryIO, gzip.GzipFile(fileobj=file)) if packed else file
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


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of a JSON Lines file, blank lines skipped; `InputError` names file and line."""
    for number, line in enumerate(read_lines(path), start=1):
        text = line.removeprefix("\ufeff") if number == 1 else line
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(
                f"{path}:{number}: not JSON ({error.msg} at column {error.colno}); mend or remove the line"
            ) from error
        if not isinstance(row, dict):
            kind = type(row).__name__
            raise InputError(f"{path}:{number}: not an object but a {kind}; write {{...}} on the line")
        yield number, row
