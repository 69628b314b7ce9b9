"""The document: the unit that a corpus is read, cleaned, split and stored in."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pipelines.corpus_lines import read_rows

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Document:
    """One text with its name and its place in the split.

    `group` names what must never stand in two splits (a source file); `stratum` names what every split should
    have a share of (a package). `split` is where the source itself puts it; None: to be decided.
    """

    id: str
    text: str
    group: str
    stratum: str = ""
    split: str | None = None


def to_line(name: str, text: str) -> bytes:
    """A document as it is stored, a row `{"id", "text", "bytes"}`; `bytes` counts the text in UTF-8."""
    row = {"id": name, "text": text, "bytes": len(text.encode())}
    return json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def write_documents(path: Path, documents: Iterable[Document]) -> None:
    """Write one split of a corpus, atomically; the same documents give the same bytes."""
    with open_atomic(path) as file:
        file.write(pack(b"".join(to_line(d.id, d.text) for d in documents)))


def read_documents(corpus_dir: Path, split: str) -> Iterator[tuple[str, str]]:
    """(id, text) of each document of one split of a prepared corpus, in its stored order, one at a time."""
    for _, row in read_rows(Path(corpus_dir) / f"{split}.jsonl.gz"):
        yield row["id"], row["text"]


def pack(data: bytes) -> bytes:
    """`data` as one gzip member without a name or a time; members one after another are a gzip file."""
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, compresslevel=6, mtime=0) as file:
        file.write(data)
    return packed.getvalue()


@contextlib.contextmanager
def open_atomic(path: Path) -> Iterator[IO[bytes]]:
    """A file to write (and seek in) that takes its name `path` when all of it is there."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
