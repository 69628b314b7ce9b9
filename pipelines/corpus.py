"""Make a corpus: read its source, clean, drop repetitions, split, write one file a split."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.files import InputError, hash_file
from pipelines.clean import clean
from pipelines.corpus_document import SPLITS, Document, write_documents
from pipelines.corpus_files import files_fingerprint, read_files
from pipelines.corpus_hub import hub_fingerprint, read_hub
from pipelines.corpus_stdlib import read_stdlib, stdlib_fingerprint
from pipelines.dedupe import find_exact, find_near
from pipelines.split import split_documents, thin

EXAMPLES = 5  # ids named for each reason of removal
SHORTEST = 32  # characters; a document of fewer teaches nothing but its end

Removed = dict[str, list[str]]  # reason -> ids


def source_fingerprint(settings: Mapping[str, Any], base: Path) -> str:
    """What tells one corpus source from another: its kind with a hash of its content (a hub's: name and revision).

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

    Facts (JSON): source, fingerprint, python, documents / bytes / words per split, removed per reason with a few
    ids, hashes of the written files. The same source and settings give the same bytes. Raises `InputError` for
    a source that cannot be read and for a split that would be empty.
    """
    fingerprint = source_fingerprint(settings, base)
    removed: Removed = {}
    documents = _cleaned(_read(settings, base, removed), removed)
    if not documents:
        raise InputError("corpus: no documents are left after cleaning; name files with text in them")
    if settings.get("max_bytes"):
        documents = thin(documents, settings["max_bytes"])
    documents = _without(documents, find_exact([d.text for d in documents]), "exact duplicate", removed)
    if settings.get("near_duplicates", True):
        documents = _without(documents, find_near([d.text for d in documents]), "near duplicate", removed)
    splits = split_documents(documents, settings["validation_fraction"], settings["test_fraction"])
    _refuse_empty(splits)
    for split, members in splits.items():
        write_documents(out / f"{split}.jsonl.gz", members)
    return {
        "source": _name(settings),
        "fingerprint": fingerprint,
        "python": platform.python_version(),
        **_counts(splits),
        "removed": {
            reason: {"count": len(ids), "examples": ids[:EXAMPLES]} for reason, ids in sorted(removed.items())
        },
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
            kept.append(Document(document.id, text, document.group, document.stratum, document.split))
    return kept


def _without(
    documents: Sequence[Document], repeats: Mapping[int, int], reason: str, removed: Removed
) -> list[Document]:
    """The documents but for the repeats, which are named as `what = the one it repeats`."""
    if repeats:
        removed[reason] = [f"{documents[new].id} = {documents[old].id}" for new, old in repeats.items()]
    return [document for number, document in enumerate(documents) if number not in repeats]


def _refuse_empty(splits: Mapping[str, Sequence[Document]]) -> None:
    total = sum(map(len, splits.values()))
    for split, members in splits.items():
        if not members:
            raise InputError(
                f"corpus: the {split} split is empty ({total} documents in all); "
                f"give more documents or a larger corpus.{split}_fraction"
                if split != "train"
                else f"corpus: the train split is empty ({total} documents in all); give more documents"
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
