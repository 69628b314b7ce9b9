"""A run folder's results -> rows: one for every trained model and what it was measured on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eval.files import hash_file
from eval.results import Result, read_results
from scaling_report.frame import BASELINE_FAMILY
from scaling_report.sources.table import Row, Table

_KINDS = ("task", "split", "stage", "family", "objective", "data_fingerprint", "{y}_signature")
_IDENTITY = ("run", "rung", "seed")
_MODEL = ("run", "stage", "family", "objective", "rung", "seed", "tokens", "step", "model_fingerprint")
_MEASURED = ("task", "split", "data_fingerprint")


def is_result(row: Row) -> bool:
    """Whether a row of JSON Lines is a Result."""
    return {"metric", "value", "params", "missing"} <= row.keys()


def read_run(path: Path, name: str) -> Table:
    """The results at `path`, but baselines and parts of tasks: of those no law is wanted.

    Columns: n (non_embedding), d (tokens), c (flops), total, matmul, unique_tokens, what tells runs and
    measurements apart, and for every metric its value, `<metric>_stderr` and `<metric>_signature`.
    """
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for number, result in enumerate(read_results(path), start=1):
        if result.family == BASELINE_FAMILY or "/" in result.task:
            continue
        key = tuple(getattr(result, field) for field in (*_MODEL, *_MEASURED))
        row = rows.setdefault(key, _model(result))
        while result.metric in row:  # measured twice: a row of its own, for whoever compares repeats
            key = (*key, number)
            row = rows.setdefault(key, _model(result))
        row[result.metric] = result.value
        row[f"{result.metric}_stderr"] = result.stderr
        row[f"{result.metric}_signature"] = result.signature
    found = list(rows.values())
    return Table(
        name=name,
        rows=found,
        places=[_place(row) for row in found],
        kinds=_KINDS,
        identity=_IDENTITY,
        fingerprint=hash_file(path),
        sparse=True,
    )


def _model(result: Result) -> dict[str, Any]:
    params: dict[str, Any] = result.params or dict.fromkeys(("non_embedding", "total", "matmul"))
    return {
        "n": params["non_embedding"],
        "d": result.tokens,
        "c": result.flops,
        **{name: params[name] for name in ("non_embedding", "total", "matmul")},
        "tokens": result.tokens,
        "flops": result.flops,
        "unique_tokens": result.unique_tokens,
        **{name: getattr(result, name) for name in ("run", "rung", "seed", "step", "annealed")},
        **{name: getattr(result, name) for name in ("stage", "family", "objective", *_MEASURED)},
    }


def _place(row: Row) -> str:
    seed = "" if row["seed"] is None else f", seed {row['seed']}"
    return f"{row['rung'] or row['family'] or 'a model without a name'}{seed}"
