"""The rows of a reader's own task, from files or the hub: found, checked, named, split; no torch."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.contamination import compare
from eval.files import InputError, hash_file, hash_json, write_jsonl
from eval.results import SPLITS
from eval.tables import find_tables, read_table
from eval.tasks.canonical import make_row
from eval.tasks.settings import DOCUMENTS, LEARNT, ROW_FIELDS, RowSettings

__all__ = ["ROW_FIELDS", "check_source", "load_rows", "source_fingerprint", "write_rows"]

VALIDATION_SHARE = 0.05  # of the train rows, where no validation rows are named
FEWEST_LABELS = {"classification": 2, "tagging": 2, "multi-label": 1}
EXAMPLES = 5
NO_CONTENT = ("id", "group", "subset")  # fields that say where a row is from

Row = dict[str, Any]
Rows = dict[str, list[Row]]
Place = tuple[str, Mapping[str, Any]]  # where a row stands, and the row


def source_fingerprint(where: str, settings: RowSettings, base: Path) -> str:
    """What tells a task's source from another: a hash of its files' names and contents.

    Since every file is read for it, the first row of each is checked as all are when they are prepared.

    Of a hub data set nothing is downloaded: its name, configuration, revision and splits tell it, so a
    recipe to keep names a revision; a local folder in its place is told by its files. `where` begins errors
    that are not a file's. Raises `InputError` for files that are not there, have no rows, or whose first row
    lacks a column or has a wrong value.
    """
    if settings.hub is None:
        found = check_source(where, settings, base)
        return hash_json(
            {split: {file: hash_file(path) for file, path in paths.items()} for split, paths in found.items()}
        )
    parts: dict[str, Any] = settings.hub.model_dump(mode="json")
    folder = Path(settings.hub.name)
    if folder.is_dir():
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        parts["files"] = {path.relative_to(folder).as_posix(): hash_file(path) for path in files}
    return hash_json(parts)


def check_source(where: str, settings: RowSettings, base: Path) -> dict[str, dict[str, Path]]:
    """Every split's files, the first row of each checked; raises `InputError` as the fingerprint does."""
    found = _find_files(where, settings, base)
    for split, paths in found.items():
        for path in paths.values():
            _check_first(f"{where}.files.{split}", settings, path)
    return found


def write_rows(where: str, settings: RowSettings, base: Path, out: Path) -> dict[str, Any]:
    """Write `out/{split}.jsonl` for every split there is, in canonical form; return the facts.

    Facts (JSON): rows and, where rows have labels, labels by split, and what `load_rows` tells. Test rows by
    themselves pass one at a time; with other splits they are compared, and so all in memory. Raises
    `InputError` as `load_rows` does.
    """
    sources, facts = _sources(where, settings, base)
    rows: Mapping[str, Iterable[Row]]
    if set(sources) == {"test"}:
        rows = {"test": _make_rows(where, settings, "test", sources["test"])}
    else:
        rows, facts = load_rows(where, settings, base)
    found: dict[str, Any] = {"rows": {}}
    for split, members in rows.items():
        labels: Counter[str] = Counter()
        found["rows"][split] = write_jsonl(out / f"{split}.jsonl", _count_labels(members, labels))
        if labels:
            found.setdefault("labels", {})[split] = dict(sorted(labels.items()))
    for split in set(SPLITS) - set(rows):  # of other rows, which were in this folder before
        (out / f"{split}.jsonl").unlink(missing_ok=True)
    return found | facts


def load_rows(where: str, settings: RowSettings, base: Path) -> tuple[Rows, dict[str, Any]]:
    """The canonical rows of each split, and facts: where they are from, what was done to them.

    `base` is the folder that files are relative to. A table without ids gets `split#n`, counted from 0. Train
    rows that are test rows, too, are left out; of those that only share n-grams the number is told. A missing
    validation split is cut from train, for kinds that are learnt, by a hash of the rows' content, so that
    equal rows stay together. Raises `InputError`, one line, for columns, labels and rows that are wrong,
    naming the place.
    """
    sources, facts = _sources(where, settings, base)
    rows = {split: list(_make_rows(where, settings, split, source)) for split, source in sources.items()}
    if "train" in rows:
        rows["train"] = _without_test(where, rows["train"], rows["test"], facts)
        if "validation" not in rows and settings.kind in LEARNT:
            rows["train"], rows["validation"] = _cut_validation(where, rows["train"])
            facts["notes"].append(
                f"validation: {len(rows['validation'])} of the train rows, chosen by a hash of their content"
            )
        _check_labels(where, settings.kind, rows)
        facts["overlap"] = {"with train": compare(rows["test"], rows["train"]).facts()}
    if rows.get("validation") and _contents(rows["validation"]) == _contents(rows["test"]):
        facts["notes"].append("validation and test are the same rows: what is chosen by them is also scored")
    return {split: rows[split] for split in SPLITS if split in rows}, facts


def _sources(
    where: str, settings: RowSettings, base: Path
) -> tuple[Mapping[str, Iterable[Place]], dict[str, Any]]:
    """Every split's rows as they are found, not read yet, and where they are from."""
    facts: dict[str, Any] = {"notes": []}
    if settings.hub is None:
        return {
            split: _read_files(paths) for split, paths in _find_files(where, settings, base).items()
        }, facts
    from eval.tasks.hub import read_hub

    sources, facts["revision"], reason = read_hub(settings.hub)
    if reason is not None:
        facts["missing"] = {"revision": reason}
    return sources, facts


def _count_labels(rows: Iterable[Row], labels: Counter[str]) -> Iterator[Row]:
    """The rows, each one's label counted as it passes."""
    for row in rows:
        if "label" in row:
            labels[row["label"]] += 1
        yield row


def _find_files(where: str, settings: RowSettings, base: Path) -> dict[str, dict[str, Path]]:
    assert settings.files is not None, "settings have files or hub"
    patterns = {split: getattr(settings.files, split) for split in SPLITS}
    return {
        split: find_tables(wanted, base, f"{where}.files.{split}", documents=settings.kind in DOCUMENTS)
        for split, wanted in patterns.items()
        if wanted is not None
    }


def _read_files(paths: Mapping[str, Path]) -> Iterator[Place]:
    for path in paths.values():
        for number, row in enumerate(read_table(path), start=1):
            yield f"{path}: row {number}", row


def _check_first(key: str, settings: RowSettings, path: Path) -> None:
    """Refuse a file without rows, and one whose first row is wrong; `key` is where the recipe names it."""
    place = next(_read_files({"": path}), None)
    if place is None:
        raise InputError(f"{path}: has no rows; give it some, or take it out of {key}")
    make_row(place[1], settings, place[0], "first")


def _make_rows(where: str, settings: RowSettings, split: str, source: Iterable[Place]) -> Iterator[Row]:
    seen: set[str] = set()
    some_text = settings.kind != "language-modelling"
    for number, (place, row) in enumerate(source):
        made = make_row(row, settings, place, f"{split}#{number}")
        some_text = some_text or bool(made["text"].strip())
        if made["id"] in seen:
            raise InputError(
                f"{place}: id {made['id']!r} was used before in {split}; give each row its own, or take "
                "the column out of the file"
            )
        seen.add(made["id"])
        yield made
    if not seen:
        raise InputError(f"{where}: the {split} split has no rows; give some, or other files")
    if not some_text:
        raise InputError(f"{where}: all {len(seen)} {split} texts are empty; give some, or other files")


def _without_test(where: str, train: list[Row], test: list[Row], facts: dict[str, Any]) -> list[Row]:
    """The train rows that say nothing a test row says; those left out are counted in the facts."""
    asked = {content: row["id"] for row, content in zip(test, _contents(test), strict=True)}
    kept, repeats = [], []
    for row, content in zip(train, _contents(train), strict=True):
        if content in asked:
            repeats.append(f"{row['id']} = {asked[content]}")
        else:
            kept.append(row)
    if not kept:
        raise InputError(f"{where}: every train row is a test row, too; name other rows for one of them")
    if repeats:
        told = {"count": len(repeats), "examples": repeats[:EXAMPLES]}
        facts["removed"] = {"train rows that are test rows": told}
    return kept


def _cut_validation(where: str, rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """(train, validation): every row on the side that the hash of its group, or of its content, falls on.

    What alone has a label stays in train.
    """
    keys = [row.get("group", content) for row, content in zip(rows, _contents(rows), strict=True)]
    places = {key: int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") for key in keys}
    labels: defaultdict[str, set[str]] = defaultdict(set)
    for row, key in zip(rows, keys, strict=True):
        labels[key] |= {"", *_labels(row)}  # all have the first: so train is never empty
    left = Counter(label for found in labels.values() for label in found)
    chosen: set[str] = set()
    for key in sorted(places, key=lambda key: places[key]):
        if chosen and places[key] >= VALIDATION_SHARE * 2**64:
            break
        if all(left[label] > 1 for label in labels[key]):
            chosen.add(key)
            left.subtract(labels[key])
    if not chosen:
        raise InputError(
            f"{where}: the train rows are all alike, or each alone has a label, so no validation can be "
            "cut; name its rows"
        )
    train = [row for row, key in zip(rows, keys, strict=True) if key not in chosen]
    return train, [row for row, key in zip(rows, keys, strict=True) if key in chosen]


def _check_labels(where: str, kind: str, rows: Rows) -> None:
    """Refuse train rows with too few labels, and other rows with a label that no train row has."""
    if kind not in FEWEST_LABELS:
        return
    known = {label for row in rows["train"] for label in _labels(row)}
    if len(known) < FEWEST_LABELS[kind]:
        there = f"one label, {min(known)!r}" if known else "no labels"
        raise InputError(
            f"{where}: the train rows have {there}; {kind} needs {FEWEST_LABELS[kind]} or more: check "
            "the rows and their column"
        )
    for split in ("validation", "test"):
        for row in rows[split]:
            if unknown := sorted(set(_labels(row)) - known):
                raise InputError(
                    f"{where}: {split} row {row['id']!r} has the label {unknown[0]!r}, which no train "
                    "row has; add train rows with it, or remove the row"
                )


def _labels(row: Mapping[str, Any]) -> Sequence[str]:
    """The labels of a row of any kind; none where the kind has none."""
    return [row["label"]] if "label" in row else row.get("labels") or row.get("tags") or []


def _contents(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Each row without its names, as one text."""
    return [
        json.dumps({field: value for field, value in row.items() if field not in NO_CONTENT}, sort_keys=True)
        for row in rows
    ]
