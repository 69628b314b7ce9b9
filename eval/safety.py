"""What keeps the data of strangers in its place: their names, their links, their packed files, and secrets.

Standard library only, and no errors of its own for readers: who asks knows the place and the remedy.
"""

from __future__ import annotations

import gzip
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, BinaryIO

MOST_RATIO = 200  # text packs to a tenth or a twentieth; gzip's own limit is 1,032
ALWAYS_BYTES = 64 * 2**20  # so much may come of a file however small

_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?\Z", re.IGNORECASE)
HIDDEN = "***"
# Access tokens by how their makers spell them, and what stands before the @ of an address.
_SECRETS = (
    (re.compile(r"\b(?:hf|api_org)_[A-Za-z0-9]{16,}"), HIDDEN),
    (re.compile(r"\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}"), HIDDEN),
    # Slovak's code begins folders of corpora (sk-en-…); a key has capitals and digits
    (re.compile(r"(?<![\w/-])sk-(?=[\w-]*[A-Z])(?=[\w-]*\d)[A-Za-z0-9_-]{20,}"), HIDDEN),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), HIDDEN),
    (re.compile(r"://[^\s/@'\"]+@"), f"://{HIDDEN}@"),
    (
        re.compile(
            r"([?&](?:[\w-]*token|key|sig|password|[\w-]*signature|[\w-]*credential)=)[^&\s'\"]+",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
)
# Their values are secrets whatever they look like.
_VARIABLES = (
    "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "WANDB_API_KEY",
    "OPENAI_API_KEY",
)  # fmt: skip
_SHORTEST = 8  # characters: what is shorter stands in other words, too


_PLAIN = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")


def redact(text: str) -> str:
    """The text with access tokens, and passwords in addresses, as `***`."""
    for variable in _VARIABLES:
        value = os.environ.get(variable, "")
        if len(value) >= _SHORTEST:
            text = text.replace(value, HIDDEN)
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def plain_line(text: str) -> str:
    """The text as a terminal may have it: one line, no control characters, no secrets."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in redact(text))


def is_plain(name: str) -> bool:
    """Whether a name is one of letters, digits, `_`, `-` and inner dots: safe anywhere."""
    return _PLAIN.fullmatch(name) is not None


def is_inside(name: str) -> bool:
    """Whether a relative path stays in the folder that it is put behind, on any system."""
    if is_plain(name):
        return True
    if not name or any(ord(one) < 32 for one in name):
        return False
    paths = (PurePosixPath(name), PureWindowsPath(name))
    return not any(path.is_absolute() or path.drive or path.root or ".." in path.parts for path in paths)


def check_name(name: str) -> str:
    """The name, of which folders are called. Raises `ValueError` for what Windows keeps for itself: `con`."""
    if _RESERVED.match(name):
        raise ValueError(f"{name!r} is a name that Windows keeps for itself; choose another")
    return name


def links_out(folder: Path, depth: int = 1) -> Iterator[Path]:
    """Links in a folder, and `depth` - 1 below it, that lead out of it."""
    yield from _links_out(folder, os.path.realpath(folder), depth)


def _links_out(folder: Path, root: str, depth: int) -> Iterator[Path]:
    for entry in os.scandir(folder) if folder.is_dir() else ():
        if entry.is_symlink():
            place = os.path.realpath(entry.path)
            if place != root and not place.startswith(root + os.sep):
                yield Path(entry.path)
        elif depth > 1 and entry.is_dir():
            yield from _links_out(Path(entry.path), root, depth - 1)


class UnpacksTooFar(Exception):
    """A packed file has become more than `MOST_RATIO` times what it was."""


class Unpacked(io.RawIOBase):
    """The bytes of an open gzip file, as many as an honest one holds. Raises `UnpacksTooFar` beyond that."""

    def __init__(self, file: BinaryIO) -> None:
        self._packed = gzip.GzipFile(fileobj=file)
        self._left = max(ALWAYS_BYTES, MOST_RATIO * os.fstat(file.fileno()).st_size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        read = self._packed.readinto(buffer)
        self._left -= read
        if self._left < 0:
            raise UnpacksTooFar
        return read

    def readall(self) -> bytes:
        parts = []
        while part := self.read(2**20):
            parts.append(part)
        return b"".join(parts)
