"""The document: the unit that a corpus is read, cleaned, split and stored in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipelines.corpus_lines import read_rows
from pipelines.corpus_members import pack, write_members

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
    write_members(path, [pack(b"".join(to_line(d.id, d.text) for d in documents))])


def read_documents(corpus_dir: Path, split: str) -> Iterator[tuple[str, str]]:
    """(id, text) of each document of one split of a prepared corpus, in its stored order, one at a time."""
    for _, row in read_rows(Path(corpus_dir) / f"{split}.jsonl.gz"):
        yield row["id"], row["text"]
