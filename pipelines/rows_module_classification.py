"""Rows of module-classification: a function's source, and the top-level package it comes from.

The labels are the packages with the most functions (eight at most) that stand in all three splits. The
names of all these packages are masked in every text as `PACKAGE`, whole words and parts of `snake_case`
alike: otherwise `import asyncio` would answer for the model. Class names and other terms of a package
stay; they are the task.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from eval.files import InputError
from pipelines.source_functions import Function

MOST_LABELS = 8
MOST_ROWS = {"train": 280, "validation": 24, "test": 48}  # of one label: no majority to guess
FEWEST_ROWS = {"train": 20, "validation": 4, "test": 4}  # of one label; a package with fewer is no label
SHORTEST, LONGEST = 80, 800  # characters; longer functions are cut at a line's end
MASK = "PACKAGE"

Row = dict[str, str]


def package_rows(functions: Mapping[str, Sequence[Function]]) -> dict[str, list[Row]]:
    """Rows `{"id", "group", "text", "label"}` per split, evenly over the labels, in the functions' order.

    Raises `InputError` when fewer than two packages have functions in every split.
    """
    labels = _choose_labels(functions)
    names = re.compile(rf"(?<![A-Za-z0-9])({'|'.join(labels)})(?![A-Za-z0-9])", re.IGNORECASE)
    rows: dict[str, list[Row]] = {}
    for split, members in functions.items():
        chosen = _chosen_ids(members, labels, MOST_ROWS[split])
        rows[split] = [
            {"id": f.id, "group": f.file, "text": _cut(names.sub(MASK, f.source)), "label": package(f)}
            for f in members
            if f.id in chosen
        ]
    return rows


def package(function: Function) -> str:
    """The top-level package of a function's file; "" for a module in no package."""
    return function.file.split("/")[0] if "/" in function.file else ""


def _choose_labels(functions: Mapping[str, Sequence[Function]]) -> list[str]:
    counts = {split: Counter(package(f) for f in members if _fits(f)) for split, members in functions.items()}
    enough = [
        label
        for label in counts["train"]
        if label and all(counts[split][label] >= fewest for split, fewest in FEWEST_ROWS.items())
    ]
    if len(enough) < 2:
        raise InputError(
            f"module-classification: {len(enough)} Python packages have functions in all splits; 2 must: "
            "raise corpus.max_bytes"
        )
    return sorted(sorted(enough, key=lambda label: (-counts["train"][label], label))[:MOST_LABELS])


def _chosen_ids(functions: Sequence[Function], labels: Sequence[str], most: int) -> set[str]:
    """Ids of at most `most` functions of each label, those of the lowest hashes: spread over its files."""
    by_label: defaultdict[str, list[str]] = defaultdict(list)
    for function in functions:
        if _fits(function):
            by_label[package(function)].append(function.id)
    return {
        name
        for label in labels
        for name in sorted(by_label[label], key=lambda name: hashlib.sha256(name.encode()).digest())[:most]
    }


def _fits(function: Function) -> bool:
    return len(function.source) >= SHORTEST


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: text.rfind("\n", 0, LONGEST) + 1]
