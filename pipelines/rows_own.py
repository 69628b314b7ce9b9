"""The rows of a recipe's own task: from the files or the hub data set that it names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eval.files import hash_file
from eval.tasks.data import write_rows
from eval.tasks.settings import RowSettings


def load_own_rows(settings: Mapping[str, Any], base: Path, out: Path) -> dict[str, Any]:
    """Write `out/{train,validation,test}.jsonl` in the canonical form of the task's kind; return the facts.

    `settings`: `task`, its name, and `source`, the fields of RowSettings. Raises InputError for files,
    columns and labels that are not there, and for splits without rows.
    """
    facts = write_rows(f"tasks.{settings['task']}", RowSettings(**settings["source"]), base, out)
    hashes = {split: hash_file(out / f"{split}.jsonl") for split in facts["rows"]}
    return {"task": settings["task"], **facts, "hashes": hashes}
