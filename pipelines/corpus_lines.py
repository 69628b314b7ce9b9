"""Read text files a line at a time, so that a file of any size takes the memory of its longest line."""

from __future__ import annotations

import contextlib
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from eval.files import InputError, parse_object


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
    """(line number, object) of a JSON Lines file, blank lines skipped; `InputError` names file and line.

    Texts may hold halves of characters: `clean` mends them, as it does other damage.
    """
    for number, line in enumerate(read_lines(path), start=1):
        text = line.removeprefix("\ufeff") if number == 1 else line
        if text.strip():
            yield number, parse_object(text, f"{path}:{number}", halves=True)
