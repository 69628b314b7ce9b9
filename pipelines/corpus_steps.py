"""What is done to a batch of a corpus's documents: functions of the batch alone, for many processes."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import numpy as np

from eval.contamination import Index, shared_grams
from pipelines.clean import clean
from pipelines.corpus_document import SPLITS, Document, to_line
from pipelines.corpus_members import pack
from pipelines.decontaminate import decontaminate
from pipelines.dedupe import BANDS, digest, sketch
from pipelines.filters import MIN_CHARS, find_fault, mask
from pipelines.removed import Removed, merge, note
from pipelines.split import name_hash

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T")

BATCH_CHARS = 2**20
BATCH_DOCUMENTS = 4096
UNDECIDED = 255
SHARE_FILES = ".share.*.part"  # what processes leave beside the spool, to be taken over by it
# What is remembered of a document while its text is on disk: 49 bytes, so that millions fit.
RECORD = np.dtype(
    [
        ("length", "u8"),  # of its line in the spool
        ("bytes", "u4"),
        ("words", "u4"),
        ("digest", "<u8", (2,)),
        ("group", "u8"),
        ("stratum", "u8"),
        ("split", "u1"),
    ]
)


@dataclass(frozen=True)
class Cleaning:
    """How documents are cleaned: the shortest kept, the most repetition, what to mask, whether to sketch."""

    min_chars: int
    max_repetition: float | None
    masks: Sequence[str]
    near: bool

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Cleaning:
        """That of a recipe's `corpus`."""
        return cls(
            settings.get("min_chars", MIN_CHARS),
            settings.get("max_repetition"),
            tuple(settings.get("mask") or ()),
            bool(settings.get("near_duplicates", True)),
        )


@dataclass(frozen=True)
class Cleaned:
    """A batch after cleaning: its lines for the spool, records and sketches of its documents, what went.

    Of a share, which may be large, the lines are in a file.
    """

    lines: bytes | Path
    records: NDArray[np.void]
    sketches: NDArray[np.uint32]
    removed: Removed

    def move_lines(self, spool: IO[bytes]) -> None:
        """Write the lines to the spool; of a share, whose file then goes."""
        if isinstance(self.lines, bytes):
            spool.write(self.lines)
            return
        with self.lines.open("rb") as part:
            shutil.copyfileobj(part, spool)
        self.lines.unlink()


@dataclass(frozen=True)
class Stretch:
    """Documents in the spool: places (n, 2) of offset and length in bytes, and which of them to look into."""

    places: NDArray[np.int64]
    flagged: NDArray[np.bool_]


@dataclass(frozen=True)
class Written:
    """Packed lines, and what is less in them than in the spool: (documents, bytes, words)."""

    data: bytes
    less: tuple[int, int, int]
    removed: Removed


def batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Lists of documents with about a million characters, the same for any number of processes."""
    batch: list[Document] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += len(document.text)
        if size >= BATCH_CHARS or len(batch) == BATCH_DOCUMENTS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def clean_batch(how: Cleaning, documents: Sequence[Document]) -> Cleaned:
    """Clean, filter, mask and measure; what the source puts in validation or test is not filtered."""
    lines, records, sketches = [], [], []
    removed: Removed = {}
    for document in documents:
        text = clean(document.text)
        given = document.split in ("validation", "test")
        fault = find_fault(text, *((1, None) if given else (how.min_chars, how.max_repetition)))
        if fault:
            note(removed, fault, document.id, text)
            continue
        text = _masked(document.id, text, how.masks, removed)
        lines.append(to_line(document.id, text))
        records.append(_record(document, text, len(lines[-1])))
        if how.near:
            sketches.append(sketch(text))
    return Cleaned(
        b"".join(lines),
        np.array(records, dtype=RECORD),
        np.array(sketches, dtype=np.uint32).reshape(-1, BANDS),
        removed,
    )


def clean_share(how: Cleaning, read: Callable[[T], Iterable[Document]], folder: Path, share: T) -> Cleaned:
    """Read a share of a source and clean it, a batch at a time, into a file in the folder."""
    records, sketches = [np.empty(0, dtype=RECORD)], [np.empty((0, BANDS), dtype=np.uint32)]
    removed: Removed = {}
    path = folder / SHARE_FILES.replace("*", f"{os.getpid()}-{secrets.token_hex(4)}")
    with path.open("xb") as file:
        for batch in batches(read(share)):
            done = clean_batch(how, batch)
            assert isinstance(done.lines, bytes)
            file.write(done.lines)
            records.append(done.records)
            sketches.append(done.sketches)
            merge(removed, done.removed)
    return Cleaned(path, np.concatenate(records), np.concatenate(sketches), removed)


def find_shared(
    spool: Path, index: Index, stretch: Stretch
) -> list[tuple[int, dict[int, NDArray[np.uint64]]]]:
    """(place in the stretch, n-grams of the index in its text) of each document that has some."""
    found = []
    for number, line in enumerate(_lines(spool, stretch)):
        if shared := shared_grams(json.loads(line)["text"], index):
            found.append((number, shared))
    return found


def write_batch(spool: Path, index: Index | None, stretch: Stretch) -> Written:
    """The stretch's lines, packed; flagged documents without what the index has, too."""
    lines = []
    less = np.zeros(3, dtype=np.int64)
    removed: Removed = {}
    for line, flagged in zip(_lines(spool, stretch), stretch.flagged, strict=True):
        if not flagged or index is None:
            lines.append(line)
            continue
        row = json.loads(line)
        text, shared = decontaminate(row["text"], index)
        if text == row["text"]:
            lines.append(line)
            continue
        reason = (
            "shared with an evaluation set" if text is None else "paragraphs shared with an evaluation set"
        )
        note(removed, reason, row["id"], shared)
        left = text or ""
        less += (
            text is None,
            row["bytes"] - len(left.encode()),
            len(row["text"].split()) - len(left.split()),
        )
        if text is not None:
            lines.append(to_line(row["id"], text))
    documents, size, words = less.tolist()
    return Written(pack(b"".join(lines)), (documents, size, words), removed)


def _masked(name: str, text: str, kinds: Sequence[str], removed: Removed) -> str:
    text, counts = mask(text, kinds)
    for kind, count in counts.items():
        if count:  # no excerpt: it would tell what was masked
            note(removed, f"masked: {kind}", name, count=count)
    return text


def _record(document: Document, text: str, length: int) -> tuple[object, ...]:
    halves = np.frombuffer(digest(text), dtype="<u8")
    split = SPLITS.index(document.split) if document.split else UNDECIDED
    groups = name_hash(document.group), name_hash(document.stratum)
    return (length, len(text.encode()), len(text.split()), halves, *groups, split)


def _lines(spool: Path, stretch: Stretch) -> Iterator[bytes]:
    with spool.open("rb") as file:
        for offset, length in stretch.places.tolist():
            file.seek(offset)
            yield file.read(length)
