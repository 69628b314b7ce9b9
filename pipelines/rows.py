"""Make the rows of the downstream tasks from a prepared corpus, by its own file split, without repeats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.files import InputError, hash_file, write_jsonl
from pipelines.corpus_document import SPLITS, read_documents
from pipelines.dedupe import find_repeats
from pipelines.removed import Removed, note_repeats, summarise
from pipelines.rows_code_completion import completion_rows
from pipelines.rows_code_to_docstring import docstring_rows
from pipelines.rows_module_classification import package_rows
from pipelines.source_functions import Function, read_functions

Rows = list[dict[str, str]]
Functions = Mapping[str, Sequence[Function]]


def _by_split(make: Callable[[Iterable[Function]], Rows]) -> Callable[[Functions], dict[str, Rows]]:
    return lambda functions: {split: make(members) for split, members in functions.items()}


# Task -> (the field a model reads, what makes the rows of all splits).
ROWS: dict[str, tuple[str, Callable[[Functions], dict[str, Rows]]]] = {
    "code-to-docstring": ("source", _by_split(docstring_rows)),
    "code-completion": ("source", _by_split(completion_rows)),
    "module-classification": ("text", package_rows),
}


def prepare_rows(task: str, corpus_dir: Path, out: Path) -> dict[str, Any]:
    """Write `out/{train,validation,test}.jsonl` for one task of `ROWS`, and return the facts.

    A row whose text repeats an earlier one, exactly or nearly, is dropped, training rows being the
    earlier: so the test asks for nothing that was trained on. Facts (JSON): task, rows per split, labels
    per split where rows have labels, removed per reason with a few ids, hashes of the written files.
    Raises `InputError` for a corpus without Python functions in every split.
    """
    field, make_rows = ROWS[task]
    made = make_rows({split: _functions(corpus_dir, split) for split in SPLITS})
    removed: Removed = {}
    rows = _distinct(made, field, removed)
    facts: dict[str, Any] = {"task": task, "rows": {split: len(rows[split]) for split in SPLITS}}
    for split, members in rows.items():
        if not members:
            raise InputError(
                f"{task}: the {split} split of the corpus has no usable Python functions; "
                "use corpus: {source: python-stdlib}, and raise corpus.max_bytes"
            )
        write_jsonl(out / f"{split}.jsonl", members)
        if "label" in members[0]:
            counts = Counter(row["label"] for row in members)
            facts.setdefault("labels", {})[split] = dict(sorted(counts.items()))
    return facts | {
        "removed": summarise(removed),
        "hashes": {split: hash_file(out / f"{split}.jsonl") for split in SPLITS},
    }


def _functions(corpus_dir: Path, split: str) -> list[Function]:
    sources = ((name, text) for name, text in read_documents(corpus_dir, split) if name.endswith(".py"))
    return [function for name, text in sources for function in read_functions(name, text)]


def _distinct(rows: Mapping[str, Rows], field: str, removed: Removed) -> dict[str, Rows]:
    """The rows of each split without those that repeat an earlier row of any split."""
    texts = {row["id"]: row[field] for split in SPLITS for row in rows[split]}
    left_out = note_repeats(removed, find_repeats(texts))
    return {split: [row for row in rows[split] if row["id"] not in left_out] for split in SPLITS}
