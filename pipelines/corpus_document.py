"""The document: the unit that a corpus is read, cleaned, split and stored in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from eval.files import read_jsonl, write_jsonl

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Document:
    """One text with its name and its place in the split.

    `group` names what must never stand in two splits (a source file); `stratum` names what every split should
    have a share of (a package).
    """

    id: str
    text: str
    group: str
    stratum: str = ""


def write_documents(path: Path, documents: Iterable[Document]) -> None:
    """Write one split as JSON Lines rows `{"id", "text", "bytes"}`; `bytes` counts the text in UTF-8."""
    write_jsonl(path, ({"id": d.id, "text": d.text, "bytes": len(d.text.encode())} for d in documents))


def read_documents(corpus_dir: Path, split: str) -> Iterator[tuple[str, str]]:
    """(id, text) of each document of one split of a prepared corpus, in its stored order."""
    for row in read_jsonl(Path(corpus_dir) / f"{split}.jsonl.gz"):
        yield row["id"], row["text"]
