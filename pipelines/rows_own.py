"""The rows of a recipe's own task: from the files or the hub data set that it names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eval.files import hash_file, write_jsonl
from eval.tasks.data import load_rows
from eval.tasks.settings import TaskSettings


def load_own_rows(settings: Mapping[str, Any], base: Path, out: Path) -> dict[str, Any]:
    """Write `out/{train,validation,test}.jsonl` in the canonical form of the task's kind; return the facts.

    `settings`: `task`, its name, and `source`, the fields of TaskSettings that decide the rows. Raises
    InputError for files, columns and labels that are not there, and for splits without rows.
    """
    rows, facts = load_rows(settings["task"], TaskSettings(**settings["source"]), base)
    for split, members in rows.items():
        write_jsonl(out / f"{split}.jsonl", members)
    counts = {
        split: dict(sorted(Counter(row["label"] for row in members).items()))
        for split, members in rows.items()
        if "label" in members[0]
    }
    return {
        "task": settings["task"],
        "rows": {split: len(members) for split, members in rows.items()},
        **({"labels": counts} if counts else {}),
        **facts,
        "hashes": {split: hash_file(out / f"{split}.jsonl") for split in rows},
    }
