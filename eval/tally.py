"""What is kept of the items of an evaluation: statistics in arrays, some samples, counts; and the scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from eval.measuring.base import Item, Measurement
from eval.metrics import Score, score
from eval.metrics.base import Array

EXAMPLES = 5
MOST_LABELS = 50  # of a confusion matrix that is kept


class Tally:
    """Items as they come, of one measurement. `sampled`: the places of those to keep for people to read."""

    def __init__(self, measurement: Measurement, sampled: Iterable[int] = ()) -> None:
        self.measurement = measurement
        self.samples: list[dict[str, str]] = []
        self.passage: dict[str, Any] | None = None
        self.tokens = 0
        self.alone: list[float] = []  # seconds of each item that this process answered by itself
        self.items = 0
        self._sampled = frozenset(sampled)
        self._statistics: dict[str, list[Array]] = {metric.name: [] for metric in measurement.metrics}
        self._sizes: list[int] = []  # rows of statistics of each scored item
        self._groups: list[str | None] = []
        self._subsets: list[str | None] = []
        self._clean: list[bool] = []
        self._confused: Counter[tuple[str, str]] = Counter()
        self._counts: Counter[str] = Counter()  # of items that failed, or were cut
        self._examples: dict[str, list[str]] = {"failed": [], "cut": []}

    def add(self, items: Sequence[Item]) -> None:
        """Keep what scores need of some more items."""
        scored = [item for item in items if item.failed is None]
        for name, kept in self._statistics.items() if scored else ():
            # one array for all: an array an item would weigh several times its numbers
            kept.append(np.concatenate([np.atleast_2d(item.statistics[name]) for item in scored]))
        for item in items:
            if self.items in self._sampled:
                self.samples.append(_sample(item))
            self.passage = self.passage or item.passage
            self.items += 1
            self.tokens += item.tokens
            if item.failed is not None:
                self._tell("failed", f"{item.row['id']}: {item.failed}")
                continue
            if item.cut:
                self._tell("cut", str(item.row["id"]))
            self._add_scored(item)

    def _tell(self, state: str, example: str) -> None:
        self._counts[state] += 1
        if len(self._examples[state]) < EXAMPLES:
            self._examples[state].append(example)

    def _add_scored(self, item: Item) -> None:
        row = item.row
        one = next(iter(item.statistics.values()), 0.0)  # all metrics of an item have as many rows
        self._sizes.append(len(np.atleast_2d(one)))
        self._clean.append(not item.contaminated)
        self._groups.append(str(row["group"]) if "group" in row else None)
        self._subsets.append(str(row["subset"]) if "subset" in row else None)
        if self.measurement.labels:
            self._confused[item.reference, item.output] += 1

    def parts(self) -> Iterator[tuple[str, list[bool]]]:
        """What is scored by itself, by name, and which of the scored items it has.

        Every `subset` that rows carry, and the `clean` items where some are contaminated.
        """
        subsets = {name for name in self._subsets if name is not None}
        for name in sorted(subsets):
            yield name, [subset == name for subset in self._subsets]
        if not all(self._clean):
            yield "uncontaminated" if "clean" in subsets else "clean", self._clean

    def scores(self, *, replicates: int, seed: int, chosen: Sequence[bool] | None = None) -> list[Score]:
        """Every metric's score over all scored items, or those `chosen`; none where there is no item.

        Errors are over groups where every item has one. `n` is of the items of which a metric counts
        something; one in several blocks counts once.
        """
        kept = np.ones(len(self._sizes), dtype=bool) if chosen is None else np.array(chosen, dtype=bool)
        if not kept.any():
            return []
        grouped = None not in self._groups
        owners = np.repeat(np.arange(len(kept)), self._sizes)
        rows = kept[owners]
        found = []
        for metric in self.measurement.metrics:
            table = np.concatenate(self._statistics[metric.name])
            counted = rows & metric.counted(table)
            if not counted.any():
                counted = rows  # then there is no value, and the score says so
            statistics, of = table[counted], owners[counted]
            groups = [self._groups[owner] or "" for owner in of] if grouped else None
            one = score(metric, statistics, groups=groups, replicates=replicates, seed=seed)
            how = self.measurement.how + self.measurement.signatures.get(metric.name, "")
            if failed := self._counts["failed"]:
                how += f"|failed:{failed}"
            found.append(replace(one.signed(how), n=len(np.unique(of))))
        return found

    def confusion(self) -> dict[str, Any] | None:
        """How often each reference (row) was given each output (column); None without labels or with many."""
        labels = self.measurement.labels
        if not labels or len(labels) > MOST_LABELS:
            return None
        counts = [[self._confused[true, given] for given in labels] for true in labels]
        return {"labels": list(labels), "counts": counts}

    def told(self, state: str) -> dict[str, Any]:
        """How many items failed, or were cut, with a few examples."""
        return {"count": self._counts[state], "examples": list(self._examples[state])}


def sample_places(count: int, wanted: int) -> list[int]:
    """`wanted` places, evenly spaced over `count`: neighbours often come from one source file."""
    return list(range(count)) if wanted >= count else [index * count // wanted for index in range(wanted)]


def _sample(item: Item) -> dict[str, str]:
    shown = {"prompt": item.input, "reference": item.reference, "output": item.output}
    return {"id": str(item.row["id"])} | {name: _text(value) for name, value in shown.items()}


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else ", ".join(map(str, value))
