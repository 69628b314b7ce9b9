"""Measure data that does not fit: tokens written by processes, an epoch read by two ranks, memory of both.

    python benchmarks/streaming.py [--write 0.5 1 2] [--read 1 20] [--documents 100000 300000]

The text is made as it is tokenised, from a seed a shard, so that only tokens lie on the disk (about half of
the text's bytes), and these are removed. What is read is as many random ids, which are made faster. Memory is
that of all processes of a step together; `start` is what a reader has after its first batch: Python, numpy,
torch.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from preparation import measured

CONTEXT, ROWS, RANKS = 1024, 64, 2
WORDS, DOCUMENT_WORDS = 50_000, 500
MEGABYTE = 1e6


@dataclass(frozen=True)
class Synthetic:
    """Text in place of a part of a corpus: so many bytes, from a seed, of words as frequent as words are."""

    seed: int
    bytes: int

    @property
    def fingerprint(self) -> str:
        """Of the content."""
        return f"{self.seed} {self.bytes}"

    def texts(self) -> Iterator[str]:
        """The documents."""
        random = np.random.default_rng([1, self.seed])
        pool = vocabulary()
        size = 0
        while size < self.bytes:
            words = pool[random.integers(0, len(pool), DOCUMENT_WORDS)]
            text = " ".join(words.tolist())
            size += len(text)
            yield text


@lru_cache(maxsize=1)
def vocabulary() -> np.ndarray:
    """A million draws of 50,000 invented words by Zipf's law."""
    random = np.random.default_rng(0)
    letters = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))
    words = ["".join(random.choice(letters, size=2 + int(random.exponential(4)))) for _ in range(WORDS)]
    odds = 1 / np.arange(1, WORDS + 1)
    return np.array(words, dtype=object)[random.choice(WORDS, size=1_000_000, p=odds / odds.sum())]


def write(folder: Path, gigabytes: float, shard_bytes: int, processes: int) -> dict[str, Any]:
    """Train a tokenizer on 5 MB, then write the shards of so much text; facts."""
    from pipelines.parallel import map_in_order
    from pipelines.token_shards import shard_name
    from pipelines.token_stream import Encoding, finish_split, write_shard
    from pipelines.tokenizer import train_tokenizer

    tokenizer = train_tokenizer(Synthetic(10**6, 5_000_000).texts(), 8192, CONTEXT)
    tokenizer.save_pretrained(folder / "tokenizer")
    how = Encoding.of(tokenizer, folder / "tokenizer")
    if processes > 1:
        how = Encoding(**vars(how) | {"threads": 1})
    sizes = [shard_bytes] * max(1, round(gigabytes * 1e9 / shard_bytes))
    work: Any = [(folder / shard_name("train", n), Synthetic(n, size)) for n, size in enumerate(sizes)]
    began, spent = time.perf_counter(), processor_seconds()
    done = list(map_in_order(partial(write_shard, how), work, processes, alone=0))
    seconds, spent = time.perf_counter() - began, processor_seconds() - spent
    finish_split(how, folder, "train", done)
    return {
        "bytes": sum(shard.bytes for shard in done),
        "tokens": sum(shard.tokens for shard in done),
        "shards": len(done),
        "seconds": seconds,
        "processor_seconds": spent,
    }


def processor_seconds() -> float:
    """Of this process, and of those it started that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def read(folder: Path, steps: int, rank: int) -> dict[str, Any]:
    """A rank's rows of so many steps, in the order of training; resident bytes before and at most."""
    import psutil

    from pipelines.batches import PackedWindows
    from pipelines.order import window_at
    from pipelines.token_shards import open_tokens

    me = psutil.Process()
    data = PackedWindows(open_tokens(folder, "train"), CONTEXT, ROWS, seed=0)
    rows = range(rank, ROWS, RANKS)
    data.batch(0, rows)
    start = peak = me.memory_info().rss
    began, spent = time.perf_counter(), processor_seconds()
    for step in range(steps):
        data.batch(step, rows)
        if step % 50 == 0:
            peak = max(peak, me.memory_info().rss)
    seconds, spent = time.perf_counter() - began, processor_seconds() - spent
    seen = [divmod(step * ROWS + row, data.windows) for step in range(steps) for row in rows]
    return {
        "start": start,
        "peak": peak,
        "seconds": seconds,
        "processor_seconds": spent,
        "windows": data.windows,
        "seen": [(epoch, window_at(place, data.windows, 0, epoch)) for epoch, place in seen],
    }


def documents(folder: Path, count: int, near: bool) -> dict[str, Any]:
    """A corpus of so many short documents, all different, prepared by one process."""
    from pipelines.corpus import prepare_corpus

    random = np.random.default_rng(0)
    pool = vocabulary()
    with (folder / "data.jsonl").open("w", encoding="utf-8") as file:
        for _ in range(count):
            words = pool[random.integers(0, len(pool), 30)].tolist()
            file.write(json.dumps({"text": " ".join(words)}) + "\n")
    settings = {
        "files": ["data.jsonl"],
        "text_column": "text",
        "validation_fraction": 0.001,
        "test_fraction": 0.001,
        "near_duplicates": near,
        "min_chars": 1,
    }
    return prepare_corpus(settings, folder, folder / f"corpus-{count}-{near}", processes=1)


def fill(folder: Path, gigabytes: float, shard_bytes: int) -> dict[str, Any]:
    """Write shards of random ids, as many as so much text comes to at four bytes a token."""
    from pipelines.corpus_members import open_atomic
    from pipelines.token_shards import Shard, shard_name, write_index
    from pipelines.token_stream import TokenWriter

    random = np.random.default_rng(0)
    shards = []
    for number in range(max(1, round(gigabytes * 1e9 / shard_bytes))):
        path = folder / shard_name("train", number)
        with open_atomic(path) as file:
            writer = TokenWriter(file, "uint16")
            while writer.size < shard_bytes // 4:
                writer.append(random.integers(0, 50_257, 2**20, dtype=np.uint16))
            writer.close()
        shards.append(Shard(path.name, writer.size))
    write_index(folder, "train", "uint16", shards)
    return {"tokens": sum(shard.tokens for shard in shards), "shards": len(shards)}


def show_writing(folder: Path, sizes: list[float], shard_bytes: int, processes: int) -> None:
    """Print a table of tokenising, a line a size."""
    print(
        f"Writing, {processes} processes:\n\n"
        "| GB of text | million tokens | shards | seconds | MB/s | MB per core second | peak memory, GB |\n"
        "| --- | --- | --- | --- | --- | --- | --- |"
    )
    for gigabytes in sizes:
        place = folder / f"{gigabytes}"
        place.mkdir()
        facts, peak = measured(write, place, gigabytes, shard_bytes, processes)
        rate = facts["bytes"] / MEGABYTE
        print(
            f"| {facts['bytes'] / 1e9:.2f} | {facts['tokens'] / 1e6:,.0f} | {facts['shards']} | "
            f"{facts['seconds']:.0f} | {rate / facts['seconds']:.1f} | "
            f"{rate / facts['processor_seconds']:.1f} | {peak:.2f} |",
            flush=True,
        )
        shutil.rmtree(place)


def show_reading(folder: Path, sizes: list[float], shard_bytes: int, steps: int) -> None:
    """Print a table of reading in the order of training, a line a size."""
    print(
        f"\nReading, {RANKS} ranks one after the other, {ROWS} windows of {CONTEXT} a step:\n\n"
        "| GB of text, at 4 bytes a token | million tokens | shards | windows an epoch | read, each once | "
        "windows/s | core µs a window | start, MB | more at most, MB |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    for gigabytes in sizes:
        place = folder / f"{gigabytes}"
        place.mkdir()
        facts = fill(place, gigabytes, shard_bytes)
        ranks = [measured(read, place, steps, rank)[0] for rank in range(RANKS)]
        seen = [tuple(window) for rank in ranks for window in rank["seen"]]
        wanted = min(len(seen), ranks[0]["windows"])
        assert len({window for epoch, window in seen if epoch == 0}) == wanted, "a window came twice"
        spent = sum(rank["processor_seconds"] for rank in ranks) / len(seen)
        seconds = sum(rank["seconds"] for rank in ranks)
        print(
            f"| {gigabytes:g} | {facts['tokens'] / 1e6:,.0f} | {facts['shards']} | {ranks[0]['windows']:,} | "
            f"{len(seen):,} | {len(seen) / seconds:,.0f} | {spent * 1e6:.0f} | "
            f"{max(rank['start'] for rank in ranks) / MEGABYTE:.0f} | "
            f"{max(rank['peak'] - rank['start'] for rank in ranks) / MEGABYTE:.1f} |",
            flush=True,
        )
        shutil.rmtree(place)


def show_documents(folder: Path, counts: list[int]) -> None:
    """Print what preparing a corpus holds of a document."""
    print("\nPreparing a corpus, one process:\n")
    print("| near repeats | " + " | ".join(f"{n:,} documents, GB" for n in counts) + " | bytes a document |")
    print("| --- " * (len(counts) + 2) + "|")
    for near in (False, True):
        peaks = [measured(documents, folder, count, near)[1] for count in counts]
        each = (peaks[-1] - peaks[0]) * 1e9 / (counts[-1] - counts[0])
        cells = " | ".join(f"{peak:.3f}" for peak in peaks)
        print(f"| {'searched for' if near else 'not searched for'} | {cells} | {each:.0f} |")


def main() -> None:
    """Print the tables."""
    from pipelines.parallel import cores

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", type=float, nargs="*", default=[0.5, 1, 2], help="GB of text")
    parser.add_argument("--read", type=float, nargs="*", default=[1, 20], help="GB of text, as tokens")
    parser.add_argument("--shard-megabytes", type=int, default=256, help="of text")
    parser.add_argument("--processes", type=int, default=cores())
    parser.add_argument("--steps", type=int, default=2000, help="of the epoch that is read")
    parser.add_argument("--documents", type=int, nargs="*", default=[100_000, 300_000])
    parser.add_argument("--folder", type=Path, help="where to work (default: the system's temporary folder)")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="streaming-", dir=asked.folder))
    try:
        print(f"{platform.machine()}, {cores()} cores\n", flush=True)
        shard_bytes = asked.shard_megabytes * 10**6
        if asked.write:
            show_writing(folder, asked.write, shard_bytes, asked.processes)
        if asked.read:
            show_reading(folder, asked.read, shard_bytes, asked.steps)
        if asked.documents:
            show_documents(folder, asked.documents)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
