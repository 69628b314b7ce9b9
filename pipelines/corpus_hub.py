"""Read a corpus from a hub data set."""
from __future__ import annotations
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from pipelines.corpus_document import Document


def hub_fingerprint(settings: Mapping[str, Any]) -> str:
    raise NotImplementedError


def read_hub(settings: Mapping[str, Any]) -> Iterator[Document]:
    raise NotImplementedError
