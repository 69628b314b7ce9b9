"""Measure a corpus's preparation: rates by step, tokenising beside the bare library, and peak memory.

    python benchmarks/preparation.py [--megabytes 200] [--near] [--document-words 400] [--vocabulary 2048]

Makes a synthetic corpus of words with natural frequencies (Zipf), prepares it in processes of their own so
that each one's memory can be read, and prints a Markdown table. The bare figure is `encode_batch_fast` of
the same tokenizer on texts already in memory, its ids not even read; both figures are of one run.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BARE_MEGABYTES = 50  # of text for the bare library: all of it in memory
REPEATS = 0.01  # share of documents that repeat an earlier one


def make_corpus(path: Path, megabytes: int, document_words: int) -> None:
    """Write JSON Lines of about `megabytes` million bytes of text."""
    import numpy as np

    random = np.random.default_rng(0)
    letters = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))
    words = ["".join(random.choice(letters, size=2 + int(random.exponential(4)))) for _ in range(200_000)]
    weights = 1 / np.arange(1, len(words) + 1)
    table = np.array(words, dtype=object)
    size = 0
    last = ""
    with path.open("w", encoding="utf-8") as file:
        while size < megabytes * 1e6:
            chosen = table[random.choice(len(words), size=document_words * 64, p=weights / weights.sum())]
            for start in range(0, len(chosen), document_words):
                lines = [" ".join(chosen[start + i : start + i + 12]) for i in range(0, document_words, 12)]
                text = last if last and random.random() < REPEATS else "\n".join(lines) + "\n"
                file.write(json.dumps({"text": text}) + "\n")
                size += len(text)
                last = text


def prepare(folder: Path, near: bool) -> dict[str, Any]:
    """The corpus of `folder`, prepared; its facts."""
    from pipelines.corpus import prepare_corpus

    settings = {
        "files": ["data.jsonl"],
        "text_column": "text",
        "validation_fraction": 0.01,
        "test_fraction": 0.01,
        "near_duplicates": near,
        "max_repetition": 0.6,
    }
    return prepare_corpus(settings, folder, folder / "corpus")


def tokenise(folder: Path, vocabulary: int) -> dict[str, Any]:
    """Its tokens; the facts, with the bare library's rate on the same texts."""
    from pipelines.corpus_document import read_documents
    from pipelines.tokenizer import load_tokenizer, prepare_tokens

    settings = {"train": "bpe", "vocab_size": vocabulary, "context": 256}
    facts = prepare_tokens(settings, folder / "corpus", folder / "tokens")
    tokenizer = load_tokenizer(str(folder / "tokens" / "tokenizer"), 256, "gpt2").backend_tokenizer
    texts: list[str] = []
    size = 0
    for _, text in read_documents(folder / "corpus", "train"):
        texts.append(text)
        size += len(text)
        if size >= BARE_MEGABYTES * 1e6:
            break
    began = time.perf_counter()
    for start in range(0, len(texts), 1000):
        tokenizer.encode_batch_fast(texts[start : start + 1000], add_special_tokens=False)
    return facts | {"bare": size / 1e6 / (time.perf_counter() - began)}


def measured(work: Callable[..., dict[str, Any]], *arguments: Any) -> tuple[dict[str, Any], float]:
    """What `work` returns in a process of its own, and the most memory, in GB, of it and its children.

    Memory is the sum of proportional set sizes where the system tells it (Linux), else of resident ones.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(theirs, work, arguments))
    process.start()
    peak, done = [0.0], threading.Event()
    watcher = threading.Thread(target=_watch, args=(process.pid, peak, done))
    watcher.start()
    facts = ours.recv()
    process.join()
    done.set()
    watcher.join()
    return facts, peak[0]


def _child(pipe: Any, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    pipe.send(work(*arguments))


def _watch(pid: int, peak: list[float], done: threading.Event) -> None:
    import psutil

    while not done.wait(0.1):
        total = 0
        try:
            root = psutil.Process(pid)
            for process in [root, *root.children(recursive=True)]:
                memory = process.memory_full_info()
                total += getattr(memory, "pss", memory.rss)
        except psutil.Error:
            continue
        peak[0] = max(peak[0], total / 1e9)


def main() -> None:
    """Print the table."""
    from pipelines.parallel import cores

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--near", action="store_true", help="remove near repeats, too")
    parser.add_argument("--document-words", type=int, default=400)
    parser.add_argument("--vocabulary", type=int, default=2048)
    parser.add_argument("--folder", type=Path, help="keep the work here (default: a temporary folder)")
    asked = parser.parse_args()
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="preparation-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if not (folder / "data.jsonl").exists():
            make_corpus(folder / "data.jsonl", asked.megabytes, asked.document_words)
        corpus, corpus_peak = measured(prepare, folder, asked.near)
        tokens, tokens_peak = measured(tokenise, folder, asked.vocabulary)
    finally:
        if asked.folder is None:
            shutil.rmtree(folder)
    ours = tokens["speed"]["encode train"]["megabytes_per_s"]
    whole = sum(corpus["bytes"].values()) / 1e6
    documents = sum(corpus["documents"].values())
    print(
        f"{platform.machine()}, {cores()} cores; {whole:,.0f} MB in "
        f"{documents:,} documents; near repeats {'removed' if asked.near else 'left in'}\n"
    )
    print(
        "| step | MB/s | documents/s | seconds | processes | peak memory, GB |\n"
        "| --- | --- | --- | --- | --- | --- |"
    )
    for step, speed in corpus["speed"].items():
        print(
            f"| {step} | {speed['megabytes_per_s']:.1f} | {speed['documents_per_s']:,.0f} | "
            f"{speed['seconds']:.1f} | {speed['processes']} | {corpus_peak:.2f} (all) |"
        )
    for step, speed in tokens["speed"].items():
        print(
            f"| {step} | {speed['megabytes_per_s']:.1f} | | {speed['seconds']:.1f} | threads | "
            f"{tokens_peak:.2f} (all) |"
        )
    print(f"| bare `tokenizers` | {tokens['bare']:.1f} | | | threads | |")
    print(f"\nTokenising, packing and writing: {ours / tokens['bare']:.0%} of the bare library.")


if __name__ == "__main__":
    main()
