"""Read a corpus from the reader's own files: .txt, .jsonl, .csv, .parquet, each also as .gz."""
from __future__ import annotations
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from pipelines.corpus_document import Document


def files_fingerprint(settings: Mapping[str, Any], base: Path) -> str:
    raise NotImplementedError


def read_files(settings: Mapping[str, Any], base: Path) -> Iterator[Document]:
    raise NotImplementedError
