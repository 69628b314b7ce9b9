"""What measuring is, for every kind of task: a way to answer rows, and metrics that score the answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from eval.batching import BatchLimits
from eval.files import hash_json
from eval.metrics.base import Array, ItemMetric
from eval.model import Model
from eval.settings import EvalSettings
from eval.tasks.base import Row, Task
from eval.tasks.rows import RowFile, has_rows, read_rows


@dataclass(frozen=True, kw_only=True)
class Item:
    """One row answered: what was read, written and wanted, and the statistics that scores are sums of.

    `statistics`: metric -> (k,), or (blocks, k) for a long document in blocks; nothing for an item that
    `failed`, which is a reason. `cut` says that the model could not read all of it, `contaminated` that it
    shares n-grams with train rows; `tokens` are those read and written; `more` is kept beside (probabilities,
    losses of tokens); `passage` is a piece of one document, token by token, for the facts.
    """

    row: Row
    input: str
    output: Any
    reference: Any
    statistics: dict[str, Array] = field(default_factory=dict)
    tokens: int = 0
    cut: bool = False
    contaminated: bool = False
    failed: str | None = None
    more: dict[str, Any] = field(default_factory=dict)
    passage: dict[str, Any] | None = None

    def record(self) -> dict[str, Any]:
        """A line of `items.jsonl.gz`."""
        named = {name: self.row[name] for name in ("id", "group", "subset") if name in self.row}
        state: dict[str, Any] = {"failed": self.failed} if self.failed else {"cut": True} if self.cut else {}
        if self.contaminated:
            state["contaminated"] = True
        statistics = {name: _plain(values) for name, values in self.statistics.items()}
        answer = {"input": self.input, "output": self.output, "reference": self.reference}
        return {**named, **answer, "statistics": statistics, **state, **self.more}


Answer = Callable[[Sequence[Row]], list[Item]]


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """How rows are answered, and scored. `how` the answers came about stands in every signature.

    `labels`, where a kind has them, make a confusion matrix of references and outputs. `baselines`: what
    needs no model, by name; `signatures`: more of a signature, for single metrics.
    """

    metrics: Sequence[ItemMetric]
    how: str
    answer: Answer
    labels: Sequence[str] = ()
    baselines: Sequence[tuple[str, Measurement]] = ()
    signatures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """What is measured on what, and how. `data` is the task's folder, whose other splits make baselines."""

    task: Task
    rows: RowFile
    data: Path
    settings: EvalSettings
    load: Callable[[str | Path, Task], Model]
    """Loads another model that the task needs, such as a judge."""

    @property
    def limits(self) -> BatchLimits:
        """How much goes through the model at once."""
        return BatchLimits(self.settings.batch_tokens, self.settings.batch_size)

    def read(self, split: str) -> list[Row]:
        """The rows of another split; none where the folder has none."""
        return read_rows(self.task, self.data, split) if has_rows(self.data, split) else []


def rows_of(
    metrics: Sequence[ItemMetric], outputs: Sequence[Any], references: Sequence[Any]
) -> list[dict[str, Array]]:
    """The statistics of each item under all metrics that compare an output with a reference."""
    if not outputs:
        return []
    tables = {metric.name: metric.statistics(outputs, references) for metric in metrics}
    return [{name: table[i] for name, table in tables.items()} for i in range(len(outputs))]


def forward(model: Model) -> str:
    """The part of a signature that every forward pass has."""
    return f"context:{model.context}|dtype:{model.dtype}"


def wording(task: Task) -> str:
    """The part of a signature that says in which words rows are asked, beside their own: a hash."""
    given = {name: getattr(task, name, None) for name in ("separator", "verbalizers", "cue", "keeps")}
    return f"words:{hash_json(given)[:8]}"


def begins(asked: Asked) -> str:
    """The part of a signature that prompts have: whether the begin token comes first."""
    return f"begin:{'yes' if asked.settings.begin else 'no'}"


def num_bytes(text: str) -> int:
    """UTF-8 bytes."""
    return len(text.encode("utf-8"))


def num_words(text: str) -> int:
    """Words as lm-evaluation-harness counts them: what white space divides, an empty text being one."""
    return len(re.split(r"\s+", text))


def _plain(values: Array) -> Any:
    """Numbers as JSON holds them best: whole ones without a point."""
    whole = np.asarray(values, dtype=np.float64)
    if np.array_equal(whole, np.rint(whole)) and np.abs(whole).max(initial=0) < 2**53:
        return whole.astype(np.int64).tolist()
    return whole.tolist()
