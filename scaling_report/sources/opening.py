"""What `stepladder fit` and `scaling_report.fit` take for a table, told apart."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.files import InputError, hash_file, hash_json, read_json
from eval.tables import TABLES, file_kind, read_table
from scaling_report.sources import harness, results, trainer
from scaling_report.sources.table import Table, plain_table

KNOWN = (
    "a table (.csv, .jsonl, .parquet, also .gz), a run folder or its results.jsonl, lm-evaluation-harness "
    "results_*.json or transformers' trainer_state.json, or a folder of either"
)

DEPTH = 3  # folders below the one that is named: runs/name/checkpoint-100


def open_table(source: Any) -> Table:
    """The rows of a path or of a table in memory.

    In memory: a mapping of columns, a list of rows (mappings), or what has named columns as pandas, polars
    and pyarrow do. Raises `InputError` for files that are missing, broken or of no known form.
    """
    if isinstance(source, Table):
        return source
    if not isinstance(source, str | os.PathLike):
        rows = _rows_of(source)
        return plain_table("table", rows, hash_json([[str(cell) for cell in row.values()] for row in rows]))
    path = Path(source)
    return _open_folder(path) if path.is_dir() else _open_file(path)


def _open_file(path: Path) -> Table:
    if path.suffix.lower() == ".json":
        value = read_json(path)
        if trainer.is_state(value):
            return trainer.read_states([path], path.parent, str(path))
        if harness.is_results(value):
            return harness.read_harness([path], str(path))
        raise InputError(f"{path}: is no results file that is known; there are {KNOWN}")
    if file_kind(path) not in TABLES:
        raise InputError(f"{path}: none of {', '.join(TABLES)} (or .gz); convert it")
    reading = iter(read_table(path))
    first = list(itertools.islice(reading, 1))
    if first and file_kind(path) == ".jsonl" and results.is_result(first[0]):
        return results.read_run(path, str(path))
    return plain_table(str(path), [*first, *reading], hash_file(path))


def _open_folder(folder: Path) -> Table:
    if (folder / "results.jsonl").is_file():
        return results.read_run(folder / "results.jsonl", str(folder))
    states = _find(folder, "trainer_state.json")
    found = _find(folder, "results_*.json")
    if states and found:
        raise InputError(f"{folder}: holds trainer_state.json and results_*.json files; name a folder of one")
    if states:
        return trainer.read_states(states, folder, str(folder))
    if found:
        return harness.read_harness(found, str(folder))
    raise InputError(
        f"{folder}: no results.jsonl, results_*.json or trainer_state.json in this folder or up to {DEPTH} "
        f"below; name {KNOWN}"
    )


def _find(folder: Path, pattern: str) -> list[Path]:
    """Files in a folder and up to `DEPTH` below it: what is named by mistake may be a whole disk."""
    return sorted(path for depth in range(DEPTH + 1) for path in folder.glob("*/" * depth + pattern))


def _rows_of(table: Any) -> list[dict[str, Any]]:
    """Rows of whatever has named columns."""
    if hasattr(table, "to_pylist"):  # pyarrow
        return list(table.to_pylist())
    if isinstance(table, Mapping):
        return _from_columns(table)
    names = getattr(getattr(table, "dtype", None), "names", None)  # numpy's structured arrays
    if names is None and hasattr(table, "columns"):  # pandas, polars
        names = list(table.columns)
    if names is not None:
        return _from_columns({str(name): list(table[name]) for name in names})
    if isinstance(table, Sequence) and all(isinstance(row, Mapping) for row in table):
        return [dict(row) for row in table]
    raise InputError(
        f"table: is a {type(table).__name__}; give a path, a mapping of columns, rows or a data frame"
    )


def _from_columns(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    if single := [name for name, values in columns.items() if not hasattr(values, "__iter__")]:
        raise InputError(f"table: {single[0]} is no column; give a list of a value for every run")
    lists = {str(name): list(values) for name, values in columns.items()}
    lengths = {name: len(values) for name, values in lists.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise InputError(f"table: its columns differ in length ({told}); give a value for every run")
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]
