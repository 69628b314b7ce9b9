"""The rows of a reader's own task, from files or the hub: found, checked, named, split; no torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from eval.files import InputError, hash_file, hash_json
from eval.tables import find_tables, read_table
from eval.tasks.canonical import make_row
from eval.tasks.settings import ROW_FIELDS, TaskSettings

__all__ = ["ROW_FIELDS", "load_rows", "source_fingerprint"]

SPLITS = ("train", "validation", "test")
VALIDATION_SHARE = 0.05  # of the train rows, where no validation rows are named

Rows = dict[str, list[dict[str, Any]]]
Place = tuple[str, Mapping[str, Any]]  # where a row stands, and the row


def source_fingerprint(name: str, settings: TaskSettings, base: Path) -> str:
    """What tells a task's source from another: a hash of its files' names and contents.

    Of a hub data set nothing is downloaded: its name, configuration, revision and splits tell it, so a
    recipe to keep names a revision; a local folder in its place is told by its files. Raises `InputError`
    for files that are not there.
    """
    if settings.hub is None:
        found = _find_files(name, settings, base)
        return hash_json(
            {split: {file: hash_file(path) for file, path in paths.items()} for split, paths in found.items()}
        )
    parts: dict[str, Any] = settings.hub.model_dump(mode="json")
    folder = Path(settings.hub.name)
    if folder.is_dir():
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        parts["files"] = {path.relative_to(folder).as_posix(): hash_file(path) for path in files}
    return hash_json(parts)


def load_rows(name: str, settings: TaskSettings, base: Path) -> tuple[Rows, dict[str, Any]]:
    """The canonical rows of each split, and facts: where they are from, what was done to them.

    `base` is the folder that files are relative to. A table without ids gets `split#n`, counted from 0; a
    missing validation split is cut from train by a hash of the rows' content, so that equal rows stay
    together. Raises `InputError`, one line, for columns, labels and rows that are wrong, naming the place.
    """
    facts: dict[str, Any] = {"notes": []}
    if settings.hub is None:
        sources = {split: _read_files(paths) for split, paths in _find_files(name, settings, base).items()}
    else:
        from eval.tasks.hub import read_hub

        sources, facts["revision"], reason = read_hub(name, settings.hub)
        if reason is not None:
            facts["missing"] = {"revision": reason}
    rows = {split: _make_rows(name, settings, split, source) for split, source in sources.items()}
    if "train" in rows and "validation" not in rows:
        rows["train"], rows["validation"] = _cut_validation(name, rows["train"])
        facts["notes"].append(
            f"validation: {len(rows['validation'])} of the train rows, chosen by a hash of their content"
        )
    if rows.get("validation") and _contents(rows["validation"]) == _contents(rows["test"]):
        facts["notes"].append("validation and test are the same rows: what is chosen by them is also scored")
    return {split: rows[split] for split in SPLITS if split in rows}, facts


def _find_files(name: str, settings: TaskSettings, base: Path) -> dict[str, dict[str, Path]]:
    assert settings.files is not None, "settings have files or hub"
    patterns = {split: getattr(settings.files, split) for split in SPLITS}
    return {
        split: find_tables(wanted, base, f"tasks.{name}.files.{split}")
        for split, wanted in patterns.items()
        if wanted is not None
    }


def _read_files(paths: Mapping[str, Path]) -> Iterator[Place]:
    for path in paths.values():
        for number, row in enumerate(read_table(path), start=1):
            yield f"{path}: row {number}", row


def _make_rows(
    name: str, settings: TaskSettings, split: str, source: Iterable[Place]
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    seen: set[str] = set()
    for where, row in source:
        made = make_row(row, settings, where, f"{split}#{len(rows)}")
        if made["id"] in seen:
            raise InputError(
                f"{where}: id {made['id']!r} was used before in {split}; give each row its own, or take "
                "the column out of the file"
            )
        seen.add(made["id"])
        rows.append(made)
    if not rows:
        raise InputError(f"tasks.{name}: the {split} split has no rows; give some, or other files")
    return rows


def _cut_validation(
    name: str, rows: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(train, validation): every row on the side that the hash of its group, or of its content, falls on."""
    keys = [row.get("group", content) for row, content in zip(rows, _contents(rows), strict=True)]
    places = {key: int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") for key in keys}
    chosen = {key for key, place in places.items() if place < VALIDATION_SHARE * 2**64}
    chosen = chosen or {min(places, key=lambda key: places[key])}
    train = [row for row, key in zip(rows, keys, strict=True) if key not in chosen]
    if not train:
        raise InputError(
            f"tasks.{name}: the train rows are all alike, so no validation can be cut; name its rows"
        )
    return train, [row for row, key in zip(rows, keys, strict=True) if key in chosen]


def _contents(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Each row without its id, as one text."""
    return [
        json.dumps({field: value for field, value in row.items() if field != "id"}, sort_keys=True)
        for row in rows
    ]
