"""The steps of a corpus's preparation, from a stream of documents to the files of its splits."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np

from eval.contamination import Index, check_set, common_grams, count_shared, gather, index_sets, row_texts
from eval.files import InputError
from pipelines.corpus_document import SPLITS, Document
from pipelines.corpus_lines import read_rows
from pipelines.corpus_members import write_members
from pipelines.corpus_steps import (
    BATCH_CHARS,
    BATCH_DOCUMENTS,
    RECORD,
    SHARE_FILES,
    UNDECIDED,
    Cleaned,
    Cleaning,
    Stretch,
    batches,
    clean_batch,
    clean_share,
    find_shared,
    write_batch,
)
from pipelines.dedupe import BANDS, MOST_ALIKE, find_exact, find_near
from pipelines.parallel import ALONE, map_in_order
from pipelines.removed import EXAMPLES, Removed, merge, note
from pipelines.split import TRAIN, group, split_documents, thin

T = TypeVar("T")
R = TypeVar("R")

MOST_OVER = 2.0  # times `max_bytes` that whole files may come to before it is refused


class Build:
    """A corpus in the making: `clean`, `choose`, `decontaminate` and `write`, in this order, within `spool`.

    `speed` has for each step documents, megabytes, seconds, their rates and the number of processes;
    `overlap` how many rows of each evaluation set had n-grams of training documents.
    """

    def __init__(
        self, settings: Mapping[str, Any], out: Path, removed: Removed, notes: list[str], processes: int
    ) -> None:
        self.settings, self.out, self.removed, self.notes = settings, out, removed, notes
        self.processes = processes
        self.speed: dict[str, dict[str, float]] = {}
        self.records = np.empty(0, dtype=RECORD)
        self.sketches = np.empty((0, BANDS), dtype=np.uint32)
        self.offsets = np.empty(0, dtype=np.int64)
        self.kept = np.empty(0, dtype=bool)
        self.splits = np.empty(0, dtype=np.uint8)
        self.index: Index | None = None
        self.overlap: dict[str, dict[str, Any]] = {}
        self.flagged = np.empty(0, dtype=bool)
        self._batches, self._alone = 0, ALONE  # of the step at hand
        self._path = out / f".spool.{os.getpid()}.part"
        self._file: IO[bytes]

    @contextlib.contextmanager
    def spool(self) -> Iterator[None]:
        """The cleaned documents' file on disk, gone at the end."""
        try:
            with self._path.open("w+b") as self._file:
                yield
        finally:
            self._path.unlink(missing_ok=True)
            for part in self.out.glob(SHARE_FILES):
                part.unlink()

    def clean(self, documents: Iterable[Document]) -> None:
        """Clean the documents into the spool: read here, cleaned by all processes."""
        work = partial(clean_batch, Cleaning.of(self.settings))
        self._spool(lambda: self._map(work, batches(documents)))

    def clean_shares(self, read: Callable[[T], Iterable[Document]], shares: Iterable[T]) -> None:
        """Clean the documents of shares into the spool, in order; who cleans a share has read it, too."""
        work = partial(clean_share, Cleaning.of(self.settings), read, self.out)
        self._spool(lambda: self._map(work, shares, alone=1))

    def _spool(self, clean: Callable[[], Iterator[Cleaned]]) -> None:
        with self._timed("clean", lambda: len(self.records), lambda: int(self.records["bytes"].sum())):
            records, sketches = [self.records], [self.sketches]
            for done in clean():
                done.move_lines(self._file)
                records.append(done.records)
                sketches.append(done.sketches)
                merge(self.removed, done.removed)
            self._file.flush()
            self.records, self.sketches = np.concatenate(records), np.concatenate(sketches)
        if not len(self.records):
            raise InputError("corpus: no documents are left after cleaning; name files with text in them")
        self.offsets = np.concatenate([[0], np.cumsum(self.records["length"].astype(np.int64))])

    def choose(self) -> None:
        """Decide what stays, of `max_bytes` and of repeats, and in which split."""
        given = self.records["split"] != UNDECIDED
        self.kept = self._thinned(bool(given.any()))
        before = self.kept.copy()
        with self._timed(
            "deduplicate", lambda: int(before.sum()), lambda: int(self.records["bytes"][before].sum())
        ):
            self._drop_repeats()
        self.splits = np.where(given, self.records["split"], TRAIN).astype(np.uint8)
        if not given.any():
            kept = self.records[self.kept]
            groups = group(kept["group"], kept["stratum"], kept["bytes"])
            fractions = self.settings["validation_fraction"], self.settings["test_fraction"]
            self.splits[self.kept] = split_documents(groups, *fractions)
        self._refuse_empty(bool(given.any()))

    def decontaminate(self, against: Mapping[str, Path]) -> None:
        """Find the training documents that share n-grams with evaluation sets, if this is asked for."""
        named = bool((self.records["split"] != UNDECIDED).any())
        self.flagged = np.zeros(len(self.records), dtype=bool)
        train = np.flatnonzero(self.kept & (self.splits == TRAIN))
        if not self.settings.get("decontaminate", True) or not (against or named) or not len(train):
            return
        asked = {name: [row for _, row in read_rows(path)] for name, path in against.items()}
        sets: list[Iterable[str]] = [
            [text for row in rows for text in row_texts(row)] for rows in asked.values()
        ]
        if named:
            sets += [self._texts(split) for split in range(len(SPLITS)) if split != TRAIN]
        with self._timed(
            "decontaminate", lambda: len(train), lambda: int(self.records["bytes"][train].sum())
        ):
            index = index_sets(sets)
            found: dict[int, dict[int, Any]] = {}
            work = partial(find_shared, self._path, index)
            stretches = list(self._stretches(train))
            results = self._map(work, (stretch for _, stretch in stretches))
            for (members, _), hits in zip(stretches, results, strict=True):
                found |= {int(members[number]): shared for number, shared in hits}
            common = common_grams(index, count_shared(index, found.values()))
            self.index = index.without(common)
            shared = gather(found.values()).without(common)
            self.overlap = {name: check_set(rows, shared).facts() for name, rows in asked.items()}
            self.flagged[list(found)] = True

    def write(self) -> dict[str, dict[str, int]]:
        """Write the splits' files; returns documents, bytes and words by split."""
        counts: dict[str, dict[str, int]] = {"documents": {}, "bytes": {}, "words": {}}
        whole = self.kept
        with self._timed("write", lambda: int(whole.sum()), lambda: int(self.records["bytes"][whole].sum())):
            for number, split in enumerate(SPLITS):
                if split not in self._wanted:
                    continue
                members = np.flatnonzero(self.kept & (self.splits == number))
                chosen = self.records[members]
                measures = [len(members), int(chosen["bytes"].sum()), int(chosen["words"].sum())]
                write_members(self.out / f"{split}.jsonl.gz", self._packed(members, measures))
                for name, measure in zip(counts, measures, strict=True):
                    counts[name][split] = measure
        return counts

    def _packed(self, members: np.ndarray, measures: list[int]) -> Iterator[bytes]:
        """The documents' lines, packed a megabyte at a time; `measures` loses what is taken out of them."""
        work = partial(write_batch, self._path, self.index)
        for done in self._map(work, (stretch for _, stretch in self._stretches(members))):
            measures[:] = [measure - less for measure, less in zip(measures, done.less, strict=True)]
            merge(self.removed, done.removed)
            yield done.data
        if not measures[0]:
            raise InputError(
                "corpus: every training document repeats an evaluation set; give others, "
                "or set corpus.decontaminate: false"
            )

    def _thinned(self, given: bool) -> np.ndarray:
        """Which documents `max_bytes` leaves: of named splits it concerns training alone."""
        max_bytes = self.settings.get("max_bytes")
        kept = np.ones(len(self.records), dtype=bool)
        if not max_bytes or self.settings.get("hub"):  # a stream was read no further
            return kept
        part = self.records["split"] == TRAIN if given else kept.copy()
        chosen = self.records[part]
        groups = group(chosen["group"], chosen["stratum"], chosen["bytes"])
        kept[part] = thin(groups, max_bytes, at_least=1 if given else 3)
        there, left = int(chosen["bytes"].sum()), int(self.records["bytes"][part & kept].sum())
        if left > MOST_OVER * max_bytes:
            raise InputError(
                f"corpus.max_bytes: {max_bytes:,} is too small: whole files of every kind come to "
                f"{left:,} bytes; ask for as much, or remove it"
            )
        if there < max_bytes:
            self.notes.append(
                f"corpus.max_bytes asks for {max_bytes:,} bytes; the source has {there:,}, all used"
            )
        return kept

    def _drop_repeats(self) -> None:
        given = (self.records["split"] != UNDECIDED) & (self.records["split"] != TRAIN)
        places = np.flatnonzero(self.kept)
        first = find_exact(self.records["digest"][places])
        repeats = np.flatnonzero((first >= 0) & ~given[places])
        for place in repeats.tolist():
            self._note_repeat("exact duplicate", places[place], places[first[place]])
        self.kept[places[repeats]] = False
        if Cleaning.of(self.settings).near:
            places = np.flatnonzero(self.kept)
            found = find_near(self.sketches[places], lambda i: self._row(places[i])["text"], given[places])
            for place, other in found.repeats.items():
                self._note_repeat("near duplicate", places[place], places[other])
            self.kept[places[list(found.repeats)]] = False
            if found.skipped:
                self.notes.append(
                    f"near duplicates: up to {found.skipped:,} pairs of documents were not compared, since "
                    f"more than {MOST_ALIKE:,} share the same parts"
                )

    def _note_repeat(self, reason: str, place: int, first: int) -> None:
        tally = self.removed.get(reason)
        if tally and len(tally.examples) == EXAMPLES:
            tally.count += 1
            return
        row = self._row(place)
        note(self.removed, reason, f"{row['id']} = {self._row(first)['id']}", row["text"])

    def _row(self, place: int) -> dict[str, Any]:
        start, end = int(self.offsets[place]), int(self.offsets[place + 1])
        row: dict[str, Any] = json.loads(os.pread(self._file.fileno(), end - start, start))
        return row

    def _texts(self, split: int) -> Iterator[str]:
        for place in np.flatnonzero(self.kept & (self.splits == split)).tolist():
            yield self._row(place)["text"]

    def _stretches(self, members: np.ndarray) -> Iterator[tuple[np.ndarray, Stretch]]:
        """The documents in lists of about a million bytes, each with its place in the spool."""
        lengths = self.records["length"][members].astype(np.int64)
        part = np.cumsum(lengths) // BATCH_CHARS
        counted = np.arange(len(members)) // BATCH_DOCUMENTS
        edges = np.flatnonzero((np.diff(part) > 0) | (np.diff(counted) > 0)) + 1
        for some in np.split(np.arange(len(members)), edges):
            if len(some):
                chosen = members[some]
                places = np.stack([self.offsets[chosen], lengths[some]], axis=1)
                yield chosen, Stretch(places, self.flagged[chosen])

    def _refuse_empty(self, given: bool) -> None:
        for number, split in enumerate(SPLITS):
            if split not in self._wanted or (self.kept & (self.splits == number)).any():
                continue
            if given:
                raise InputError(f"corpus: no documents are left in {split} after cleaning; give it others")
            raise InputError(
                f"corpus: {int(self.kept.sum())} documents are too few for three splits "
                f"({split} would be empty); give more files or more documents"
            )

    @property
    def _wanted(self) -> tuple[str, ...]:
        """The splits there are to be: of a hub set those that are named, if any are."""
        named = self.settings.get("splits")
        return tuple(split for split in SPLITS if not named or named.get(split))

    def _map(self, function: Callable[[T], R], some: Iterable[T], alone: int = ALONE) -> Iterator[R]:
        def counted() -> Iterator[T]:
            for batch in some:
                self._batches += 1
                yield batch

        self._alone = alone
        return map_in_order(function, counted(), self.processes, alone)

    @contextlib.contextmanager
    def _timed(self, step: str, documents: Callable[[], int], size: Callable[[], int]) -> Iterator[None]:
        began = time.perf_counter()
        self._batches, self._alone = 0, ALONE
        yield
        seconds = time.perf_counter() - began
        megabytes = size() / 1e6
        self.speed[step] = {
            "documents": documents(),
            "megabytes": round(megabytes, 3),
            "seconds": round(seconds, 3),
            "documents_per_s": round(documents() / seconds, 1),
            "megabytes_per_s": round(megabytes / seconds, 2),
            "processes": self.processes if self._batches > self._alone else 1,
        }
