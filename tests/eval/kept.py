"""An evaluation with its items at hand, read from the file that they are kept in."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.evaluate import evaluate
from eval.files import read_jsonl
from eval.results import Result


@dataclass(frozen=True)
class Kept:
    """What `evaluate` leaves, and the lines of its `items.jsonl.gz`."""

    results: list[Result]
    samples: list[dict[str, str]]
    facts: dict[str, Any]
    items: list[dict[str, Any]]

    def of(self, metric: str, rung: str | None = None, task: str | None = None) -> Any:
        """The model's own result of a metric, or that of the baseline `rung`."""
        wanted = [r for r in self.results if (r.rung == rung if rung else r.family != "baseline")]
        tasks = task or min((r.task for r in wanted), key=len)
        (one,) = (r for r in wanted if r.metric == metric and r.task == tasks)
        return one


def alike(one: Any, other: Any) -> bool:
    """Whether two items say the same, numbers to 1e-5."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, float):
        return math.isclose(one, other, rel_tol=1e-5, abs_tol=1e-5)
    return bool(one == other)


def evaluate_kept(*args: Any, **options: Any) -> Kept:
    """`evaluate`, with its items kept."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "items.jsonl.gz"
        found = evaluate(*args, items_to=path, **options)
        return Kept(found.results, found.samples, found.facts, list(read_jsonl(path)))
