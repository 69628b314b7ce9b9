"""Make a corpus: read its source, clean, drop repetitions, split, write one file a split."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from eval.files import InputError, hash_file
from pipelines.clean import clean
from pipelines.corpus_document import SPLITS, Document, write_documents
from pipelines.corpus_files import files_fingerprint, read_files
from pipelines.corpus_hub import hub_fingerprint, read_hub
from pipelines.corpus_stdlib import read_stdlib, stdlib_fingerprint
from pipelines.dedupe import find_repeats
from pipelines.removed import Removed, note_repeats, summarise
from pipelines.split import split_documents, thin

SHORTEST = 32  # characters; a document of fewer teaches nothing but its end


def source_fingerprint(settings: Mapping[str, Any], base: Path) -> str:
    """What tells one corpus source from another: its kind with a hash of its content (hub: of its name).

    `settings` is a recipe's `corpus`; relative files are looked up from `base`. Light: nothing is parsed.
    Raises `InputError` for files that are missing or empty.
    """
    if settings.get("source"):
        return stdlib_fingerprint()
    if settings.get("files"):
        return files_fingerprint(settings, base)
    return hub_fingerprint(settings)


def prepare_corpus(settings: Mapping[str, Any], base: Path, out: Path) -> dict[str, Any]:
    """Write `out/{train,validation,test}.jsonl.gz`, rows `{"id", "text", "bytes"}`, and return the facts.

    Facts (JSON): source, fingerprint, python, documents / bytes / words per split, removed per reason with
    a few ids, hashes of the written files. The same source and settings give the same bytes. Raises
    `InputError` for a source that cannot be read and for a split that would be empty.
    """
    fingerprint = source_fingerprint(settings, base)
    removed: Removed = {}
    documents = _cleaned(_read(settings, base, removed), removed)
    if not documents:
        raise InputError("corpus: no documents are left after cleaning; name files with text in them")
    if settings.get("max_bytes"):
        documents = thin(documents, settings["max_bytes"])
    repeats = find_repeats({d.id: d.text for d in documents}, near=settings.get("near_duplicates", True))
    left_out = note_repeats(removed, repeats)
    documents = [document for document in documents if document.id not in left_out]
    splits = split_documents(documents, settings["validation_fraction"], settings["test_fraction"])
    _refuse_empty(splits)
    for split, members in splits.items():
        write_documents(out / f"{split}.jsonl.gz", members)
    return {
        "source": _name(settings),
        "fingerprint": fingerprint,
        "python": platform.python_version(),
        **_counts(splits),
        "removed": summarise(removed),
        "hashes": {split: hash_file(out / f"{split}.jsonl.gz") for split in SPLITS},
    }


def _read(settings: Mapping[str, Any], base: Path, removed: Removed) -> list[Document]:
    if settings.get("source"):
        return list(read_stdlib(removed))
    if settings.get("files"):
        return list(read_files(settings, base))
    return list(read_hub(settings))


def _cleaned(documents: Sequence[Document], removed: Removed) -> list[Document]:
    kept = []
    for document in documents:
        text = clean(document.text)
        if len(text) < SHORTEST:
            removed.setdefault("empty or too short", []).append(document.id)
        else:
            kept.append(replace(document, text=text))
    return kept


def _refuse_empty(splits: Mapping[str, Sequence[Document]]) -> None:
    total = sum(map(len, splits.values()))
    for split, members in splits.items():
        if not members:
            raise InputError(
                f"corpus: {total} documents are too few for three splits ({split} would be empty); "
                "give more files or more documents"
            )


def _counts(splits: Mapping[str, Sequence[Document]]) -> dict[str, dict[str, int]]:
    return {
        "documents": {split: len(members) for split, members in splits.items()},
        "bytes": {split: sum(len(d.text.encode()) for d in members) for split, members in splits.items()},
        "words": {split: sum(len(d.text.split()) for d in members) for split, members in splits.items()},
    }


def _name(settings: Mapping[str, Any]) -> str:
    """The source as a recipe would name it, on one line."""
    return str(settings.get("source") or settings.get("hub") or ", ".join(settings["files"]))
