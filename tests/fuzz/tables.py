"""Tables to damage, of every form that is read: of runs, of rows to ask or to learn from, of documents."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from eval.tasks.find import find_task
from pipelines.corpus_files import files_fingerprint, read_files
from pipelines.using.inputs import read_inputs
from scaling_report.library import INPUTS_OF, fit
from tests.fuzz.mutations import damage, damage_bytes, damage_text, nudge

FORMS = ("jsonl", "csv", "parquet", "jsonl.gz", "csv.gz", "parquet.gz")


def write_table(rng: random.Random, path: Path, rows: list[dict[str, Any]], form: str) -> None:
    """Rows at `path` + `form`, damaged as data, as text or as bytes, or between the two."""
    way = rng.choice(("near", "near", "data", "data", "text", "bytes", "both"))
    if way == "near":
        rows = nudge(rng, rows)
    elif way in ("data", "both"):
        damaged = damage(rng, rows)
        rows = damaged if isinstance(damaged, list) else [damaged]
    data = _spelt(rows, form.split(".")[0])
    if way in ("text", "both") and not form.startswith("parquet"):
        data = damage_text(rng, data.decode("utf-8", "replace")).encode("utf-8", "surrogatepass")
    elif way in ("bytes", "text"):
        data = damage_bytes(rng, data)
    if form.endswith(".gz"):
        data = gzip.compress(data)
        if rng.random() < 0.3:
            data = damage_bytes(rng, data)
    path.with_name(f"{path.name}.{form}").write_bytes(data)


def _spelt(rows: list[Any], form: str) -> bytes:
    if form == "jsonl":
        return "\n".join(json.dumps(row) for row in rows).encode()
    if form == "csv":
        told = [row for row in rows if isinstance(row, dict)] or [{"a": 1}]
        out = io.StringIO()
        writer = csv.DictWriter(out, list(dict.fromkeys(name for row in told for name in row)))
        writer.writeheader()
        writer.writerows(told)
        return out.getvalue().encode("utf-8", "surrogatepass")
    return _parquet(rows)


def _parquet(rows: list[Any]) -> bytes:
    import pyarrow
    from pyarrow import parquet

    try:
        table = pyarrow.Table.from_pylist([row for row in rows if isinstance(row, dict)])
    except (pyarrow.ArrowException, OverflowError, TypeError, ValueError):  # columns of several types
        told = [{str(k): json.dumps(v) for k, v in row.items()} for row in rows if isinstance(row, dict)]
        table = pyarrow.Table.from_pylist(
            json.loads(json.dumps(told).replace("\\\\ud800", "?").replace("\\ud800", "?"))
        )
    out = io.BytesIO()
    try:
        parquet.write_table(table, out)
    except pyarrow.ArrowException:  # a struct without fields
        parquet.write_table(pyarrow.table({"text": ["a"]}), out)
    return out.getvalue()


# tables of runs


@cache
def _runs() -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    return [
        {
            "n": n,
            "d": d,
            "c": 6 * n * d,
            "seed": 0,
            "loss": 1.8 + 480 * n**-0.35 + 2100 * d**-0.37 + 0.01 * rng.random(),
        }
        for n in np.geomspace(1e7, 1e9, 4).tolist()
        for d in np.geomspace(1e9, 1e11, 3).tolist()
    ]


def write_runs(rng: random.Random, folder: Path) -> None:
    """`runs.*` and `how.json`, how it is to be fitted."""
    write_table(rng, folder / "runs", _runs(), rng.choice(FORMS))
    law = rng.choice(("power", "power-floor", "chinchilla", "kaplan", "product-nd", "sigmoid", "two-step"))
    where = rng.choice(("", "", "", "seed=0", "n>1e7", "loss<x"))
    (folder / "how.json").write_text(json.dumps({"law": law, "where": where}))


def fit_runs(folder: Path) -> None:
    """`stepladder fit`, with few starts and no refits."""
    how = json.loads((folder / "how.json").read_text())
    (table,) = folder.glob("runs.*")
    inputs = INPUTS_OF[how["law"]]
    x: Any = "n" if len(inputs) == 1 else {"n": "n", "d": "d"}
    via = "loss" if how["law"] == "two-step" else None
    y = "loss" if via is None else "c"
    fit(how["law"], table, x=x, y=y, via=via, where=how["where"] or (), starts=4, bootstrap=0)


# rows to ask about


_ASKED: dict[str, list[dict[str, Any]]] = {
    "multiple-choice": [
        {"id": f"q{n}", "query": f"Why {n}?", "choices": ["a", "b", "c"], "answer": n % 3, "group": "g"}
        for n in range(4)
    ],
    "generation": [{"source": f"one {n}", "target": "two", "subset": "s"} for n in range(4)],
    "span": [{"question": "Who?", "context": f"It is Ann {n}.", "answers": ["Ann"]} for n in range(3)],
    "tagging": [{"words": ["Ann", "left", str(n)], "tags": ["B-PER", "O", "O"]} for n in range(3)],
    "multi-label": [{"text": f"t {n}", "labels": ["a", "b"][: 1 + n % 2]} for n in range(3)],
    "regression": [{"text": f"t {n}", "value": n / 2} for n in range(3)],
    "classification": [{"text": f"t {n}", "label": "ab"[n % 2]} for n in range(4)],
    "bias-pairs": [{"more": f"a {n}", "less": f"b {n}"} for n in range(3)],
    "language-modelling": [{"text": f"A text {n}."} for n in range(3)],
}


def write_asked(rng: random.Random, folder: Path) -> None:
    """`rows/test.*`, maybe `rows/train.*`, and `kind.json`."""
    kind = rng.choice(sorted(_ASKED))
    (folder / "rows").mkdir()
    for split in ("test", "train")[: rng.randint(1, 2)]:
        write_table(rng, folder / "rows" / split, _ASKED[kind], rng.choice(FORMS))
    (folder / "kind.json").write_text(json.dumps(kind))


def prepare_asked(folder: Path) -> None:
    """`stepladder eval --task KIND --data FOLDER` until a model would be loaded."""
    kind = json.loads((folder / "kind.json").read_text())
    find_task(kind, [str(folder / "rows")]).rows(folder / "out")


# documents, and rows for `predict`


def write_documents(rng: random.Random, folder: Path) -> None:
    """`corpus.*`: documents in a table, or lines of text."""
    rows = [{"text": f"Document {n}: some words that stand for themselves.", "n": n} for n in range(5)]
    form = rng.choice((*FORMS, "txt", "txt.gz"))
    if not form.startswith("txt"):
        write_table(rng, folder / "corpus", rows, form)
        return
    data = damage_bytes(
        rng, damage_text(rng, "\n".join(row["text"] for row in rows) * 30).encode("utf-8", "surrogatepass")
    )
    (folder / f"corpus.{form}").write_bytes(gzip.compress(data) if form.endswith("gz") else data)


def read_corpus(folder: Path) -> None:
    """A corpus's fingerprint, and all of its documents."""
    settings = {"files": ["corpus.*"], "text_column": "text"}
    files_fingerprint(settings, folder)
    for _ in read_files(settings, folder):
        pass


def read_predicted(folder: Path) -> None:
    """The rows that `stepladder predict` reads."""
    for path in sorted(folder.glob("corpus.*")):
        for _ in read_inputs(str(path)):
            pass
