"""What the tests of corpora share: texts, a recipe's settings, and how to read what was prepared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from eval.files import read_jsonl
from pipelines.corpus_document import SPLITS

TEXTS = [
    f"Document {n} tells of {n * n} things.\nIt has a second line: \N{BLACK CHESS KNIGHT}.\n"
    for n in range(60)
]


def settings(**chosen: Any) -> dict[str, Any]:
    """A recipe's `corpus` with its defaults."""
    return {
        "source": None,
        "files": None,
        "hub": None,
        "config": None,
        "revision": None,
        "split": "train",
        "splits": None,
        "text_column": "text",
        "validation_fraction": 0.05,
        "test_fraction": 0.05,
        "near_duplicates": False,  # the texts above differ by a number
        "max_bytes": None,
    } | chosen


def read(corpus: Path) -> dict[str, dict[str, str]]:
    return {split: {r["id"]: r["text"] for r in read_jsonl(corpus / f"{split}.jsonl.gz")} for split in SPLITS}


def everything(corpus: Path) -> list[str]:
    return sorted(text for members in read(corpus).values() for text in members.values())


def write_jsonl(path: Path, texts: list[str] = TEXTS) -> None:
    """A table of the texts with a number beside each."""
    path.write_text("".join(json.dumps({"text": text, "n": 1}) + "\n" for text in texts))
